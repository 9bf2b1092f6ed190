"""The naive consumer and the service behind one interface, so that the same code runs both through the storm."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import redis

from demo import naive, relay
from demo.events import DemoEvent
from demo.feeder import Feeder, HttpFeeder, QueueFeeder
from demo.plan import Plan
from demo.refunder import HttpRefunder, QueueRefunder
from demo.score import Books, Score
from demo.stage import Stage
from demo.world import World
from service.ops.installation import python
from service.ops.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORKERS = ("worker-1", "worker-2")
LEASE_S = 3.0  # seconds that a charge's lease lasts; a worker that is paused for longer has lost it
_HASTE = {
    # All waiting times are short, so that an incident fits into a minute. Their order is that of the defaults:
    # call < lease < visibility.
    "EO_STRIPE_CONNECT_TIMEOUT_S": "0.5",
    "EO_STRIPE_TIMEOUT_S": "2",
    "EO_CHARGE_LEASE_S": str(LEASE_S),
    "EO_OUTBOX_LEASE_S": "4",
    "EO_RELAY_MESSAGE_EVENTS": "16",  # small messages, so that the rows of a dead worker are shared by both workers
    "EO_RETRY_BASE_S": "0.2",
    "EO_RETRY_MAX_S": "8",
    "EO_BREAKER_S": "0.5",
    "EO_FEE_SWEEP_S": "0.3",
    "EO_ROLLUP_S": "1",
    "EO_RECONCILE_GRACE_S": "0",  # no grace, so that no difference counts as in flight
}


class Contender(ABC):
    """One contender: two workers, and the other processes that belong to it."""

    title: str
    about: str
    others: tuple[str, ...] = ()  # parts beside the workers that the storm kills too

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.world = world
        self.score = Score()
        self.final = self.score
        self.fed: list[Feeder] = []  # with orders
        self.refunding: list[Feeder] = []

    @abstractmethod
    def start_worker(self, name: str, crash_at: str = "") -> None:
        """Start one worker, or start it again; it may be told where to die."""

    @abstractmethod
    def start_others(self, messages_twice: float) -> None:
        """Start the processes beside the workers; this share of the messages is delivered twice."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """Start one of `others` again."""

    @abstractmethod
    def feeder(self, *, first: int, count: int, over_s: float, requests_twice: float, messages_twice: float) -> Feeder:
        """The feeder that places its orders."""

    @abstractmethod
    def refunder(self) -> Feeder:
        """The feeder that asks for the refunds of the plan."""

    @abstractmethod
    def is_quiet(self) -> bool:
        """Whether no order and no refund is on its way any more."""

    @abstractmethod
    def look(self) -> None:
        """Bring the score up to date."""

    @abstractmethod
    def close_score(self) -> None:
        """Complete the score, when nothing is on its way any more."""

    def accepted(self) -> tuple[dict[str, int], dict[str, int]]:
        """All orders whose placing was confirmed with their amounts, and those whose refund was, with its amount."""
        return _accepted(self.fed), _accepted(self.refunding)

    def counted(self, what: str) -> int:
        """The sum of one count of all feeders."""
        return sum(feeder.counts[what] for feeder in (*self.fed, *self.refunding))

    def keep_score(self) -> None:
        """Copy into the score how many faults the storm has made."""
        self.final, self.score = self.score, replace(self.score)

    def rest(self) -> None:
        """Stop all processes except Stripe, so that the other contender has the machine to itself."""
        self.world.kill(*(name for name in self.world.alive() if name != "sandbox"))

    def _troubles(self) -> int:
        fired: list[Mapping[str, int]] = self.world.control("GET", "faults")["rules"]
        return sum(rule["fired"] for rule in fired)


def _accepted(feeders: "Iterable[Feeder]") -> dict[str, int]:
    return {order: amount for feeder in feeders for order, amount in dict(feeder.accepted).items()}


class Naive(Contender):
    """The naive consumer: it charges or refunds, then records, and relies on the broker to deliver once."""

    title = "naive"
    about = "the naive consumer: charge, then record; the broker delivers once, surely"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        super().__init__(plan, World(stage, "naive", with_schema=False))
        self.score.has_no_guards = True
        self._redis = redis.Redis.from_url(stage.redis.url, socket_timeout=2)
        self.world.rows(naive.SCHEMA)

    def start_worker(self, name: str, crash_at: str = "") -> None:
        """Start one worker, or start it again; it may be told where to die."""
        self.world.add(name, python("demo.naive"), EO_CRASH_AT=crash_at).spawn()

    def start_others(self, messages_twice: float) -> None:
        """Start nothing: the feeder publishes its messages."""

    def restart(self, name: str) -> None:
        """Do nothing: there are no other processes."""

    def feeder(self, *, first: int, count: int, over_s: float, requests_twice: float, messages_twice: float) -> Feeder:
        """A feeder that publishes to the queue."""
        options = {"first": first, "count": count, "over_s": over_s, "requests_twice": requests_twice}
        url = self.world.environ["REDIS_URL"]
        made = QueueFeeder(self.world.database, url, seed=self.plan.seed, messages_twice=messages_twice, **options)
        self.fed.append(made)
        return made

    def refunder(self) -> Feeder:
        """A feeder that publishes to the queue."""
        plan, url = self.plan, self.world.environ["REDIS_URL"]
        wanted = plan.refunded(self.world.rows(_NAIVE_PAID))
        made = QueueRefunder(self.world.database, url, wanted, messages_twice=plan.messages_twice, **plan.asking())
        self.refunding.append(made)
        return made

    def is_quiet(self) -> bool:
        """Whether no message is waiting, delayed, or being worked on."""
        names = [f"{naive.NAMESPACE}:{name}.msgs" for name in (naive.QUEUE, f"{naive.QUEUE}.DQ")]
        return not any(self._redis.hlen(name) for name in names)

    def look(self) -> None:
        """Bring the score up to date."""
        self._look_at_counts()
        self.score.read(*self.accepted(), self.world.truth())

    def close_score(self) -> None:
        """Complete the score from its table of orders, which says of each whether it is paid."""
        self._look_at_counts()
        self.score.close(*self.accepted(), self.world.truth(), Books(**self.world.rows(_NAIVE_BOOKS)[0]))

    def _look_at_counts(self) -> None:
        self.score.deliveries = self.world.counted()[DemoEvent.DELIVERED]
        self.score.troubles = self._troubles()
        self.score.duplicates = self.counted("requests_twice") + self.counted("messages_twice")


class Ours(Contender):
    """The service: its API, relay and workers, unchanged but for the counters on its guards."""

    title = "effectively-once"
    about = "this service: at least once, and every repeat made harmless"
    others = tuple(kind for kind in KINDS if kind != "worker")

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._api_key = "eo_test_" + "0" * 24
        super().__init__(plan, World(stage, "ours", with_schema=True, EO_API_KEY=self._api_key, **_HASTE))
        self._twice_file = stage.folder / "messages-twice"

    def start_worker(self, name: str, crash_at: str = "") -> None:
        """Start one worker, or start it again; it may be told where to die."""
        self.world.add(name, python("demo.worker"), EO_CRASH_AT=crash_at).spawn()

    def start_others(self, messages_twice: float) -> None:
        """The API, and a relay whose broker duplicates."""
        self._twice_file.write_text(str(messages_twice))
        for name in self.others:
            if name not in self.world.alive():
                self.restart(name)
        self.world.await_ready(*self.others)

    def restart(self, name: str) -> None:
        """Start one of `others` again, in the same place."""
        if name not in self.world.parts:
            instead = {"relay": python("demo.relay")}
            told = {relay.TWICE: str(self._twice_file), relay.SEED: str(self.plan.seed)}
            self.world.add(name, instead.get(name, ()), **told)
        self.world.part(name).spawn()

    def feeder(self, *, first: int, count: int, over_s: float, requests_twice: float, messages_twice: float) -> Feeder:
        """A feeder that places orders over HTTP."""
        del messages_twice
        options = {"first": first, "count": count, "over_s": over_s, "requests_twice": requests_twice}
        made = HttpFeeder(self.world.url("api"), self._api_key, seed=self.plan.seed, **options)
        self.fed.append(made)
        return made

    def refunder(self) -> Feeder:
        """A feeder that asks for refunds over HTTP."""
        wanted = self.plan.refunded(self.world.rows(_PAID))
        made = HttpRefunder(self.world.url("api"), self._api_key, wanted, **self.plan.asking())
        self.refunding.append(made)
        return made

    def is_quiet(self) -> bool:
        """Whether the outbox is empty and every fee is booked. Messages still in the broker are copies of done ones."""
        return not self.world.rows(_OPEN)[0][0]

    def look(self) -> None:
        """Bring the score up to date."""
        truth = self.world.truth()
        self._look_at_counts(truth["totals"]["replays"])
        self.score.read(*self.accepted(), truth)

    def close_score(self) -> None:
        """Complete the score from the ledger, and from the orders, each of which must be paid."""
        truth = self.world.truth()
        self._look_at_counts(truth["totals"]["replays"])
        self.score.close(*self.accepted(), truth, Books(**self.world.rows(_BOOKS)[0]))

    def _look_at_counts(self, replays: int) -> None:
        counted = self.world.counted()
        self.score.deliveries = counted[DemoEvent.DELIVERED]
        self.score.troubles = self._troubles()
        self.score.duplicates = counted[DemoEvent.DOUBLED] + self.counted("requests_twice")
        self.score.absorbed = {
            "door": self.counted("door"),
            "open": counted[DemoEvent.ABSORBED],
            "stripe": replays,
            "settle": counted["charge.fenced"],
            "journal": counted[DemoEvent.REPEATED],
        }


_NAIVE_BOOKS = """
SELECT count(*) AS paid, coalesce(sum(amount), 0)::bigint AS charged,
       coalesce(sum(refunded), 0)::bigint AS refunded, 0 AS ledger_off
  FROM orders WHERE status = 'paid'"""

_NAIVE_PAID = "SELECT id::text, amount FROM orders WHERE status = 'paid' ORDER BY id"
_PAID = "SELECT id::text, amount_minor FROM orders WHERE status = 'paid' ORDER BY id"

_OPEN = """
SELECT (SELECT count(*) FROM outbox)
     + (SELECT count(*) FROM charges WHERE status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL)"""

# What the ledger says was charged and went back, from its entries; and every entry's debits minus its credits.
_BOOKS = """
SELECT (SELECT count(*) FROM orders WHERE status = 'paid') AS paid,
       (SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM postings p JOIN journal_entries e ON e.id = p.entry_id
         WHERE e.kind IN ('charge', 'duplicate') AND p.amount_minor > 0) AS charged,
       (SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM postings p JOIN journal_entries e ON e.id = p.entry_id
         WHERE e.kind = 'refund' AND p.amount_minor > 0) AS refunded,
       (SELECT coalesce(sum(abs(s)), 0)::bigint FROM
         (SELECT sum(amount_minor) AS s FROM postings GROUP BY entry_id, currency) AS sums) AS ledger_off"""
