"""What the model of all effects is made of: rows, Stripe's objects, what is under way. Pure data.

An effect has a number: it is the place of its row, and of its keys at Stripe.
"""

from functools import cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar

# Ages count in steps longer than any lease; what matters is their order.
YOUNG, POST, FORGET, MISS = 1, 2, 3, 4  # a key is young (4 h) · no post (20 h) · Stripe forgets (24 h) · 24 h 30 min
NEVER = -1
TRIES = 3  # as many as the model tells apart

CHARGE, SECOND, CAPTURE, CANCEL, BEFORE, REFUND, OTHER, PAST = range(8)
EFFECTS = (CHARGE, SECOND, CAPTURE, CANCEL, BEFORE, REFUND, OTHER)
CHARGES, CHANGES, REFUNDS = (CHARGE, SECOND), (CAPTURE, CANCEL, BEFORE), (REFUND, OTHER)
NAMES = (
    "the charge",
    "attempt 2",
    "the capture",
    "the cancel",
    "the cancel of attempt 1",
    "the refund",
    "the other refund",
    "the refund past us",
)

T = TypeVar("T")
Order: TypeAlias = Literal["pending", "processing", "requires_action", "authorized", "paid", "failed", "canceled"]
Said: TypeAlias = Literal["", "500", "refused", "conflict"]
Intent: TypeAlias = Literal["none", "action", "bank", "held", "succeeded", "declined", "canceled"]


class Row(NamedTuple):
    """A row of `charges`, `changes` or `refunds`. While it is `pending` or `open`, its outbox row exists, too."""

    status: str = "pending"
    maybe: bool = False  # maybe_executed
    first: int = NEVER  # age of first_sent_at
    last: int = NEVER  # age of last_sent_at
    born: int = 0  # age of the row
    look: bool = False  # next_call
    said: Said = ""  # what an answer to this try was, where it was one
    nth: int = 0  # the try, whose number is in the key
    copy: int = 0  # asked for again after the database forgot it: another row, and another id in the metadata
    re: int = NEVER  # the refund's id at Stripe
    drawn: int = 0

    @property
    def going(self) -> bool:
        return self.status in ("pending", "open", "processing")


class Made(NamedTuple):
    """A refund at Stripe. Its id is its place in the list. `effect`, `copy`: what its metadata says."""

    effect: int
    copy: int = 0
    status: Literal["pending", "succeeded", "failed"] = "succeeded"


class Key(NamedTuple):
    """What Stripe remembers of a key: the request, and the answer that it replays."""

    answer: str  # a state, "refused", "500", or "undecided": a 500 behind which it may still run
    copy: int = 0
    re: int = NEVER
    age: int = 0


class Worker(NamedTuple):
    """A worker between two of its steps. It may sleep in any of them, for as long as it likes."""

    doing: Literal["idle", "opened", "answered"] = "idle"
    effect: int = 0
    copy: int = 0
    nth: int = 0
    token: bool = False
    look: bool = False
    first: bool = False  # R16
    said: str = ""  # opened to look: what the last answer was
    outcome: str = ""  # of a look-up: what a miss will mean; answered: what comes of it
    re: int = NEVER
    late: bool = False

    def __str__(self) -> str:
        held = "" if self.token else ", overtaken"
        return f"worker with {NAMES[self.effect]}{held}{', too late' if self.late else ''}"


class Database(NamedTuple):
    """Everything that a restore replaces. Money counts in units; `captured` of the charge was taken."""

    order: Order = "pending"
    rows: tuple[Row | None, ...] = (Row(), None, None, None, None, None, None, None)
    captured: int = 0
    refunding: int = 0
    refunded: int = 0
    owed: int = 0
    payable: int = 0  # the ledger's liabilities:refunds_payable
    out: int = 0  # what refunds took from the ledger's assets:stripe:balance
    life: Literal["new", "listed", "aged", "closed"] = "closed"

    @property
    def verified(self) -> bool:
        return self.life in ("listed", "closed")

    @property
    def changing(self) -> bool:
        return any(r is not None and r.going for r in self.rows[CAPTURE : BEFORE + 1])


class State(NamedTuple):
    """Everything there is, at one moment."""

    db: Database = Database()
    intents: tuple[Intent, ...] = ("none", "none")
    canceled_by: int = NEVER  # the effect that canceled the first PaymentIntent
    made: tuple[Made, ...] = ()
    keys: tuple[tuple[Key | None, ...], ...] = ((None,) * TRIES,) * len(EFFECTS)
    workers: tuple[Worker, ...] = (Worker(), Worker())
    faults: int = 0
    backup: Database | None = None
    restores: int = 0
    past: bool = False  # somebody may still refund at Stripe, past us
    restored: bool = False
    lost: tuple[int, ...] = ()  # refunds whose failure was told before the restore
    told: bool = False  # the refund was called failed, because Stripe did not show it

    @property
    def past_used(self) -> bool:
        return any(m.effect == PAST for m in self.made)


IDLE = Worker()


def put(items: tuple[T, ...], i: int, item: T) -> tuple[T, ...]:
    """The tuple with one of its items replaced."""
    return (*items[:i], item, *items[i + 1 :])


def work(s: State, i: int, worker: Worker) -> State:
    return s._replace(workers=put(s.workers, i, worker))


def row(db: Database, effect: int, new: Row | None) -> Database:
    return db._replace(rows=put(db.rows, effect, new))


def key(s: State, effect: int, nth: int, new: Key | None) -> State:
    return s._replace(keys=put(s.keys, effect, put(s.keys[effect], nth, new)))


@cache
def older(r: Row | None) -> Row | None:
    if r is None or not r.going:
        return r
    return r._replace(
        born=min(r.born + 1, POST),
        first=r.first if r.first == NEVER else min(r.first + 1, POST),
        last=r.last if r.last == NEVER else min(r.last + 1, MISS),
    )


@cache
def fades(k: Key | None) -> Key | None:
    """Stripe forgets a key after a day; what it has not run by then, it does not run any more."""
    return k._replace(age=k.age + 1) if k and k.age + 1 < FORGET else None


@cache
def plain(r: Row | None) -> Row | None:
    """Without what nobody asks for any more."""
    if r is None or r.status in ("pending", "open"):
        return r
    return Row(r.status, copy=r.copy, re=r.re)
