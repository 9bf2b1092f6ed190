"""The database forgets, in the middle of a storm: a folder or a dump is put back, a standby that was behind promoted.

Half of the keys that were lost are repeated at once. The others come a day later, when Stripe has forgotten them, too.
In the dark nobody has asked Stripe meanwhile, because no process of ours was up but the API.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from service.ops.chaos.day import older
from tests.acceptance.fleet import Fleet
from tests.chaos.lives import Dump, Folder, Memory, Standby
from tests.chaos.monkey import Monkey
from tests.chaos.producer import Producer

KINDS: dict[str, Callable[..., Memory]] = {
    "folder restored": Folder,
    "dump loaded": Dump,
    "standby promoted": Standby,
}
EVERY_S = 14.0  # a storm shorter than two of these has one forgetting
UP_WITHIN_S = 30.0
REPEATED_WITHIN_S = 60.0
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """When something is kept and when it is put in force, in seconds of the storm."""

    kind: str
    keep_at: float
    force_at: float
    in_the_dark: bool


def plans(seed: int, seconds: float) -> list[Plan]:
    """One after the other; every kind once before any comes twice."""
    chance = random.Random(f"forgetting:{seed}")
    times = max(1, min(2 * len(KINDS), int(seconds / EVERY_S)))
    kinds = [kind for _ in range(2) for kind in chance.sample(list(KINDS), len(KINDS))]
    slot = seconds / times
    return [
        Plan(
            kind,
            keep_at=slot * (n + chance.uniform(0.1, 0.3)),
            force_at=slot * (n + chance.uniform(0.6, 0.8)),
            in_the_dark=chance.random() < 0.5,
        )
        for n, kind in enumerate(kinds[:times])
    ]


class Forgetting:
    """What one storm's database forgets. `look` often, `a_day_passed` whenever one has."""

    def __init__(self, fleet: Fleet, monkey: Monkey, producer: Producer, planned: list[Plan]) -> None:
        self.counts: Counter[str] = Counter()
        self._fleet = fleet
        self._monkey = monkey
        self._producer = producer
        self._began = time.monotonic()
        self._planned = planned
        self._memory: Memory | None = None
        self._kept_at = 0.0
        self._days = 0  # since then
        self._later: list[int] = []
        self._repeating: list[Producer] = []
        self._numbers = count(1)

    def look(self, dark_day: Callable[[Callable[[], None]], None]) -> None:
        """Do what is due. `dark_day` calls back while no worker and no relay is up, and lets a day pass after that."""
        now = time.monotonic() - self._began
        if not self._planned:
            return
        plan = self._planned[0]
        if self._memory is None and now >= plan.keep_at:
            self._keep(plan)
        elif self._memory is not None and now >= plan.force_at:
            self._planned.pop(0)
            self.counts[f"forgot: {plan.kind}{' in the dark' if plan.in_the_dark else ''}"] += 1
            if plan.in_the_dark:
                dark_day(self._forget_and_be_asked_again)
            else:
                self._forget()

    def a_day_passed(self) -> None:
        """What is kept has become older too, and who waited for this repeats his keys."""
        self._days += 1
        self._repeat(self._later)
        self._later = []

    def repeat_all(self) -> None:
        """Every key is asked for once more, whatever became of it."""
        self._repeat([told.number for told in list(self._producer.accepted.values())])
        self._until_repeated()

    def end(self) -> None:
        """A storm may end before something kept is put in force."""
        if self._memory is not None:
            self._memory.discard()

    def _keep(self, plan: Plan) -> None:
        self._until_postgres_is_up()
        folder = Path(self._fleet.folder, f"memory-{next(self._numbers)}")
        self._kept_at, self._days = time.monotonic(), 0
        memory = KINDS[plan.kind](self._fleet.postgres, folder)
        if isinstance(memory, Standby):
            memory.fall_behind()
        self._memory = memory

    def _forget(self) -> None:
        memory, self._memory = self._memory, None
        assert memory is not None
        self._until_postgres_is_up()
        memory.put_in_force(age=older(self._days))
        memory.discard()
        lost = self._producer.forgotten(self._kept_at, time.monotonic())
        self.counts["told and perhaps forgotten"] += len(lost)
        self._repeat(lost[::2])
        self._later += lost[1::2]

    def _forget_and_be_asked_again(self) -> None:
        """Keys are accepted anew before anybody could look whether they are new.

        What was asked of the orders has to wait: a pending one is not canceled until somebody has looked.
        """
        self._forget()
        self._until_repeated(lambda one: one.has_placed)

    def _until_repeated(self, is_repeated: Callable[[Producer], bool] = lambda one: one.is_done) -> None:
        try:
            self._monkey.until(
                lambda: all(is_repeated(one) for one in self._repeating),
                within_s=REPEATED_WITHIN_S,
                what="what was asked again is accepted",
            )
        except AssertionError as error:
            error.add_note(f"unclear: {self._producer.unclear.most_common(SHOWN)}")
            raise

    def _repeat(self, numbers: list[int]) -> None:
        if numbers:
            self._repeating.append(self._producer.repeat(numbers))

    def _until_postgres_is_up(self) -> None:
        part = self._fleet.postgres
        self._monkey.until(lambda: part.is_running and part.is_ready(), within_s=UP_WITHIN_S, what="PostgreSQL is up")
