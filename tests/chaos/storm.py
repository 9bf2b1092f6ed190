"""The storm: orders by the thousand while everything dies, and afterwards nothing is lost and nothing is there twice.

They are captured, canceled, paid again and refunded, as their stories tell (stories), also at Stripe past us.

    python -m tests.chaos.storm --seed 7 --minutes 3      # `make chaos`
    python -m tests.chaos.storm --seed 1 --seeds 20 --minutes 0.7

Processes are killed and frozen (monkey), wires are bad (proxy), Stripe is at its worst and days pass (weather),
messages come twice, late, or never (mangling_relay), and so do requests (producer), and the database forgets
(forgetting). Banks dispute, payouts fail, rates move, and strangers pay (bank); Stripe tells it twice, late, or never
(hearing). Then it is calm, what is parked is brought back, and the books are judged (invariants). A storm in which
nothing happened proves nothing, and fails.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg

from service.ops import kinds
from tests.acceptance.fleet import Fleet, python
from tests.chaos.bank import AWAY, Bank
from tests.chaos.both_balances import looks_come_due
from tests.chaos.calm import LOOKED_AT_EVERY_S, Calm
from tests.chaos.customer import Customer
from tests.chaos.forgetting import KINDS, Forgetting, plans
from tests.chaos.hearing import Hearing
from tests.chaos.invariants import judge
from tests.chaos.monkey import Monkey
from tests.chaos.proxy import Wires, total
from tests.chaos.report import Report, brought_back, mangled
from tests.chaos.weather import ROUGH, STALL_S, a_day_passes, calm_plan, events_of, fault_plan
from tests.cluster import servers_parent

COUNT = dict.fromkeys(kinds.KINDS, 2)
SENT_TWICE = 0.10
ORDERS_MAX = 100_000
STREAMS, PAUSE_S = 40, 1.0  # most orders keep their stream for seconds, until their story is told
COUNTED_EVERY_S = 1.0
BANKS_EVERY_S = 0.7
ACCEPTED_WITHIN_S = 60.0
# call < lease < visibility, as in the defaults; and short, so that a storm of a minute has hundreds of them. Fees are
# asked for often, because the sweep takes its time with charges that are a day old.
HASTE = {
    "EO_STRIPE_CONNECT_TIMEOUT_S": "0.5",
    "EO_STRIPE_TIMEOUT_S": "1",
    "EO_CHARGE_LEASE_S": "2.5",
    "EO_OUTBOX_LEASE_S": "3",
    "EO_RETRY_BASE_S": "0.3",
    "EO_RETRY_MAX_S": "6",
    "EO_BREAKER_S": "0.5",
    # One machine, one clock; and a life that began a few seconds ago is listed for the second time.
    "EO_CLOCK_SKEW_MAX_S": "2",
    "EO_FEE_SWEEP_S": "0.25",
    "EO_SWEEP_S": "2",
    # What is of a payment that this database has forgotten goes to suspense, and comes back out of it.
    "EO_RECONCILE_GRACE_S": "8",
    "EO_ROLLUP_S": "2",
    # R11: what two workers drain in seconds here. More would only be published again and again, six seconds being the
    # longest pause, and every copy of a message be a look-up of its own.
    "EO_RELAY_WINDOW": "150",
}
NOT_YET = (ConnectionRefusedError, FileNotFoundError, asyncpg.CannotConnectNowError)
MUST_HAPPEN = ("killed api", "killed relay", "killed worker", "killed sandbox", "killed redis", "killed postgres",
               "frozen worker", "producer capture", "producer cancel", "producer pay", "producer refund",
               "producer refunds past us, 200", "bank paid out", "bank strangers paid", "bank dispute won",
               "bank dispute lost")  # fmt: skip


class Storm:
    """One storm over one fleet."""

    def __init__(self, folder: Path, seed: int, seconds: float, days: int) -> None:
        self.report = Report(seed)
        self._began = time.monotonic()
        self._seconds = seconds
        self._days = days
        self._chance = random.Random(f"storm:{seed}")
        self._fleet = Fleet(folder / "fleet", **HASTE)
        self._wires = Wires(seed)
        self._bank = Bank(self._fleet, seed)
        self._events = events_of(seed)

    def run(self) -> Report:
        """From a clear sky to the verdict, or to what it waited for in vain."""
        try:
            with self._fleet:
                self._run()
        except Exception as error:  # noqa: BLE001  whatever ended it is the report
            self.report.broke_off = "\n".join([repr(error), *getattr(error, "__notes__", ())])
            traceback.print_exc()
        finally:
            self._wires.end()
        self.report.took_s = time.monotonic() - self._began
        return self.report

    def _run(self) -> None:
        fleet, seed = self._fleet, self.report.seed
        hearing = Hearing(fleet, COUNT["api"])
        names = [name for kind in COUNT for name in self._start(kind)]
        apis = [fleet.url(name) for name in names if name.startswith("api-")]
        hearing.begin([self._wires.over("stripe>api", url) for url in apis])
        monkey = Monkey(fleet, ["postgres", "redis", "sandbox", *names], seed)
        urls = [self._wires.over("producer>api", url) for url in apis]
        producer = Customer(
            urls,
            fleet.api_key,
            seed,
            ORDERS_MAX,
            at_once=STREAMS,
            pause_s=PAUSE_S,
            sent_twice=SENT_TWICE,
            stripe=(fleet.stripe, fleet.environ["STRIPE_API_KEY"]),
        ).start()
        self._forgetting = Forgetting(fleet, monkey, producer, plans(seed, self._seconds))
        try:
            self._blow(monkey)
        finally:
            self._forgetting.end()
        self._note(f"calm; {self._charged()} charged so far")
        self._wires.calm()
        self._count_faults(go_on=False)
        monkey.calm()
        self._note("everybody is up")
        self._count_faults(go_on=False)
        producer.stop()
        monkey.until(lambda: producer.is_done, within_s=ACCEPTED_WITHIN_S, what="every order begun is accepted")
        self._forgetting.repeat_all()
        self._note("every order is accepted")
        self.report.happened["parked, brought back"] = Calm(fleet, monkey, self._pass_a_day, self._note).clear_up()
        self.report.verdict = judge(fleet, [producer], is_swept=True)
        self._tell(monkey, producer)

    def _start(self, kind: str) -> list[str]:
        """Processes of one kind, each told addresses that are wires."""
        argv = python("tests.chaos.mangling_relay") if kind == "relay" else ()
        environ = {**self._wires.around(self._fleet, kind), "EO_TEST_SEED": str(self.report.seed)}
        return self._fleet.start(kind, COUNT[kind], argv, **environ)

    def _blow(self, monkey: Monkey) -> None:
        """The storm itself."""
        began = time.monotonic()
        days = [began + self._seconds * (n + 1) / (self._days + 1) for n in range(self._days)]
        count_at = banks_at = look_at = began
        self._wires.weather = ROUGH
        while (now := time.monotonic()) < began + self._seconds:
            if monkey.is_due:
                monkey.strike()
            monkey.keep()
            if now >= count_at:
                count_at = now + COUNTED_EVERY_S
                self._count_faults(go_on=True)
            if now >= banks_at:
                banks_at = now + BANKS_EVERY_S
                self._bank.act()
            if now >= look_at:
                look_at = now + LOOKED_AT_EVERY_S
                self._look_again()
            if days and now >= days[0]:
                days.pop(0)
                self._pass_a_day(monkey)
            self._forgetting.look(lambda forget: self._pass_a_day(monkey, forget))
            time.sleep(0.02)

    def _count_faults(self, *, go_on: bool) -> None:
        """Note which faults struck, and begin a new plan, or a calm one: a sandbox that was killed forgot its own."""
        with suppress(*AWAY):
            for rule in self._fleet.control("GET", "faults")["rules"]:
                self.report.happened[f"stripe {rule['rule']['fault']}"] += rule["fired"]
        with suppress(*AWAY):
            plan = fault_plan if go_on else calm_plan
            self._fleet.control("POST", "faults", plan(self._chance.randrange(1 << 30), self._events))

    def _look_again(self) -> None:
        with suppress(*AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
            looks_come_due(self._fleet)

    def _pass_a_day(self, monkey: Monkey, in_the_dark: Callable[[], None] = lambda: None) -> None:
        """While no worker or relay runs and nothing of theirs is under way; they come back a day later."""
        names = [f"{kind}-{number}" for kind in ("relay", "worker") for number in range(1, COUNT[kind] + 1)]
        for name in names:
            monkey.kill(name, down_s=1_000)
        ended = time.monotonic() + STALL_S
        monkey.until(lambda: time.monotonic() > ended, within_s=STALL_S + 5, what="what was sent has arrived")
        in_the_dark()
        monkey.until(self._ages, within_s=30, what="PostgreSQL and the sandbox are there to age")
        self.report.happened["a day passed"] += 1
        for name in names:
            monkey.kill(name)
        self._forgetting.a_day_passed()

    def _ages(self) -> bool:
        try:
            a_day_passes(self._fleet)
        except NOT_YET:  # nothing else is tried again: Stripe's books may have aged already
            return False
        return True

    def _note(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s: {what}", file=sys.stderr, flush=True)

    def _charged(self) -> int | str:
        with suppress(OSError, AssertionError):
            return int(self._fleet.truth()["charges_succeeded"])
        return "nobody knows how many"

    def _tell(self, monkey: Monkey, producer: Customer) -> None:
        happened = self.report.happened
        happened.update(monkey.counts)
        happened.update({f"bank {what}": n for what, n in self._bank.counts.items()})
        happened[f"events: {self._events}"] += 1
        happened.update(self._forgetting.counts)
        happened.update({f"wire {name}": n for name, n in self._wires.counts.items()})
        happened.update({f"producer {name}": n for name, n in producer.counts.items()})
        for log in self._fleet.logs.glob("relay-*.log"):
            happened.update(f"message {word}" for word in mangled(log))
        happened.update(brought_back(self._fleet.logs))
        stripe = total(happened, "stripe ")
        self.report.missing = [name for name in MUST_HAPPEN if self._seconds >= 60 and not happened[name]]
        self.report.missing += [
            kind for kind in KINDS if self._seconds >= 60 and not total(happened, f"forgot: {kind}")
        ]
        self.report.missing += [name for name in ("killed", "wire", "message twice", "producer duplicates", "forgot",
                                             "stripe event_", "bank ")
                                if not total(happened, name)]  # fmt: skip
        self.report.missing += [] if stripe else ["stripe's faults"]


def storm(seed: int, seconds: float, days: int = 1, folder: Path | None = None) -> Report:
    """One storm in a folder of its own."""
    where = folder or Path(tempfile.mkdtemp(prefix="eo-storm-", dir=servers_parent()))
    try:
        return Storm(where / f"storm-{seed}", seed, seconds, days).run()
    finally:
        if folder is None:
            shutil.rmtree(where, ignore_errors=True)


def main() -> None:
    """The command. Exit status 1: something did not hold, or nothing happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--seeds", type=int, default=1, help="so many storms, with consecutive seeds")
    parser.add_argument("--minutes", type=float, default=3.0, help="of storm; the calm after it is not counted")
    options = parser.parse_args()
    seconds = options.minutes * 60
    good = True
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"seed {seed}: {seconds:.0f} s of storm", file=sys.stderr, flush=True)
        report = storm(seed, seconds, days=max(1, round(options.minutes)))
        print(report, flush=True)
        good = good and report.is_good
    sys.exit(not good)


if __name__ == "__main__":
    main()
