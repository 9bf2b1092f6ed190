"""The monkey kills, freezes and keeps alive. It lives in the main thread, as starting children demands."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.acceptance.fleet import Fleet

# How often each is chosen. PostgreSQL is stopped at once (its SIGQUIT: no checkpoint, recovery at the next start),
# Valkey forgets every queued message, the sandbox keeps its books and forgets its faults.
WEIGHT = {"api": 2, "relay": 2, "worker": 4, "sandbox": 2, "redis": 2, "postgres": 2, "freeze": 3}
PAUSE_S = (0.6, 1.6)
DOWN_S = (0.0, 1.5)
DOWN_MAX = 2  # at once: where nobody is up, nothing is tried, and nothing is proven
FROZEN_S = (3.0, 5.0)  # beyond a charge's lease: another takes over, and then the sleeper wakes
AGAIN_S = 0.3  # between two starts of what does not stay up, say because PostgreSQL is away
READY_S = 30.0


class Monkey:
    """One for a fleet. `strike` when `is_due`; `keep` often: it starts again what has ended."""

    def __init__(self, fleet: Fleet, names: Sequence[str], seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._fleet = fleet
        self._names = list(names)
        self._chance = random.Random(f"monkey:{seed}")
        self._due = time.monotonic() + PAUSE_S[0]
        self._back_at: dict[str, float] = {}
        self._wakes_at: dict[str, float] = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time for a strike."""
        return time.monotonic() >= self._due

    def strike(self) -> None:
        """Kill or freeze somebody."""
        if sum(not self._is_up(name) for name in self._names) > DOWN_MAX:
            self._due = time.monotonic() + AGAIN_S
            return
        self._due = time.monotonic() + self._chance.uniform(*PAUSE_S)
        deed = self._chance.choices(list(WEIGHT), list(WEIGHT.values()))[0]
        kind = "worker" if deed == "freeze" else deed
        victims = [n for n in self._names if n.rpartition("-")[0] == kind or n == kind]
        victim = self._chance.choice(victims)
        if not self._fleet.part(victim).is_running or victim in self._wakes_at:
            return
        self.counts[f"{'frozen' if deed == 'freeze' else 'killed'} {kind}"] += 1
        if deed == "freeze":
            self._fleet.pause(victim)
            self._wakes_at[victim] = time.monotonic() + self._chance.uniform(*FROZEN_S)
        else:
            self.kill(victim, down_s=self._chance.uniform(*DOWN_S))

    def kill(self, name: str, *, down_s: float = 0.0) -> None:
        """End it at once; it comes back by `keep` after `down_s`."""
        part = self._fleet.part(name)
        if part.is_running:
            part.kill()
        self._wakes_at.pop(name, None)
        self._back_at[name] = time.monotonic() + down_s

    def keep(self) -> None:
        """Wake what has slept enough, start what has been down long enough. PostgreSQL and its like come first."""
        now = time.monotonic()
        for name in [n for n, at in self._wakes_at.items() if at <= now]:
            del self._wakes_at[name]
            self._fleet.resume(name)
        for name in self._names:
            part = self._fleet.part(name)
            if part.is_running:
                continue
            if name not in self._back_at:  # not the monkey's work
                self.counts[f"ended {name.rpartition('-')[0] or name}: {part.exit_reason()}"] += 1
                self._back_at[name] = now + AGAIN_S
            if self._back_at[name] <= now:
                del self._back_at[name]
                part.spawn()

    def calm(self) -> None:
        """Wake and start everybody, and wait until all are ready."""
        self._wakes_at = dict.fromkeys(self._wakes_at, 0.0)
        self._back_at = dict.fromkeys(self._back_at, 0.0)
        self.until(lambda: all(self._is_up(name) for name in self._names), within_s=READY_S, what="everybody is up")

    def until(self, condition: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait, keeping everybody alive meanwhile."""

        def kept() -> bool:
            self.keep()
            return condition()

        self._fleet.until(kept, within_s=within_s, what=what)

    def _is_up(self, name: str) -> bool:
        part = self._fleet.part(name)
        return part.is_running and part.is_ready()

    @property
    def kills(self) -> dict[signal.Signals, int]:
        """How many by signal, for the report."""
        frozen = sum(n for name, n in self.counts.items() if name.startswith("frozen"))
        killed = sum(n for name, n in self.counts.items() if name.startswith("killed"))
        return {signal.SIGKILL: killed, signal.SIGSTOP: frozen}
