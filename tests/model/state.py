"""What the model of the charge protocol is made of: what we know, what Stripe knows, what is under way. Pure data."""

from functools import cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar

# Ages count in steps of some seven hours. What matters is their order, and that twice POST is more than FORGET.
POST, FORGET, MISS = 3, 4, 5  # no post from here (20 h) · Stripe forgets the key (24 h) · a miss counts (24 h 30)
NEVER = -1

T = TypeVar("T")
Order: TypeAlias = Literal["pending", "processing", "paid", "failed", "canceled"]
Intent: TypeAlias = Literal["none", "succeeded", "declined", "canceled", "undecided"]
Call: TypeAlias = Literal["send", "look"]
# What an answer makes of the charge: final, sent or looked up again, or proven to have changed nothing.
Outcome: TypeAlias = Literal[
    "succeeded", "declined", "never", "refused", "send", "look", "saved", "cleared", "unsent", "earlier", "none"
]


class Charge(NamedTuple):
    """A row of `charges`. `sending` and `unknown` are one here: nobody knows yet."""

    status: Literal["open", "succeeded", "declined", "canceled", "duplicate"] = "open"
    maybe: bool = False  # maybe_executed
    first: int = NEVER  # age of first_sent_at
    last: int = NEVER  # age of last_sent_at
    call: Call = "send"  # next_call
    saved: bool = False  # the history shows a replayed 5xx


class AtStripe(NamedTuple):
    """One attempt as Stripe has it. `undecided` is behind a 500: rolled forward or back within the key's life."""

    intent: Intent = "none"
    memory: Literal["none", "succeeded", "declined", "500"] = "none"  # what the key replays
    age: int = 0  # of the key


class Worker(NamedTuple):
    """A worker between two of its steps. It may sleep in any of them, for as long as it likes."""

    doing: Literal["idle", "opened", "answered"] = "idle"
    attempt: int = 0
    token: bool = False  # still the charge's current token
    call: Call = "send"
    first: bool = False  # R16: at open nothing of this charge could have run
    outcome: Outcome = "none"  # opened to look: what a complete miss will mean
    late: bool = False  # beyond its send deadline

    def __str__(self) -> str:
        held = "current" if self.token else "superseded"
        return f"worker with the {held} token{', a day late' if self.late else ''}"


class Message(NamedTuple):
    """In the broker. It carries an id; the charge is what a protocol without R9 would put in."""

    charge: Charge | None = None


class State(NamedTuple):
    """Everything there is, at one moment."""

    order: Order = "pending"
    promise: int = 0  # age of the order, or of the call to pay again
    charges: tuple[Charge | None, ...] = (None, None)
    stripe: tuple[AtStripe, ...] = (AtStripe(), AtStripe())
    outbox: tuple[bool, ...] = (True, False)
    broker: tuple[Message | None, ...] = (None, None)
    workers: tuple[Worker, ...] = (Worker(), Worker())
    faults: int = 0  # that may still happen
    backup: bool = False  # a backup without the charge may still be restored


IDLE = Worker()


# ── small changes ─────────────────────────────────────────────────────────────────────────────────────────────────


def put(items: tuple[T, ...], i: int, item: T) -> tuple[T, ...]:
    """The pair with one of its two replaced."""
    return (item, items[1]) if i == 0 else (items[0], item)


def work(s: State, i: int, worker: Worker) -> State:
    return s._replace(workers=put(s.workers, i, worker))


def close(s: State, a: int, status: Literal["succeeded", "declined", "canceled", "duplicate"]) -> State:
    return s._replace(charges=put(s.charges, a, Charge(status)), outbox=put(s.outbox, a, False))


def restored(s: State) -> State:
    """As of a backup made after the order was accepted and before it was opened; the fleet was stopped first."""
    return State(promise=s.promise, stripe=s.stripe, faults=s.faults)


@cache
def older(c: Charge) -> Charge:
    if c.status != "open":
        return c
    return c._replace(
        first=c.first if c.first == NEVER else min(c.first + 1, POST),
        last=c.last if c.last == NEVER else min(c.last + 1, MISS),
    )


@cache
def fades(t: AtStripe) -> AtStripe:
    if t.memory == "none":
        return t
    if t.age + 1 < FORGET:
        return t._replace(age=t.age + 1)
    return AtStripe("none" if t.intent == "undecided" else t.intent)


def canonical(s: State, *, spent: bool) -> State:
    """One state for all that can only behave alike, so that fewer are visited."""
    if spent:
        s = _without_what_is_spent(s)
    workers = s.workers if s.workers[0] <= s.workers[1] else (s.workers[1], s.workers[0])
    return s._replace(workers=workers, promise=s.promise if s.backup or any(s.outbox) else 0)


def _without_what_is_spent(s: State) -> State:
    """What can change nothing any more: messages of rows that are gone (R9); workers without the token, unless they may
    still send (R21: of what they say only a success counts, and that Stripe shows to others too); keys nobody sends.
    """
    workers, stripe = _unspent(s.workers, s.stripe, s.charges)
    broker = (s.broker[0] if s.outbox[0] else None, s.broker[1] if s.outbox[1] else None)
    return s._replace(workers=workers, stripe=s.stripe if s.backup else stripe, broker=broker)


@cache
def _unspent(
    workers: tuple[Worker, ...], stripe: tuple[AtStripe, ...], charges: tuple[Charge | None, ...]
) -> tuple[tuple[Worker, ...], tuple[AtStripe, ...]]:
    workers = tuple(w if w.token or (w.doing == "opened" and w.call == "send") else IDLE for w in workers)
    sent = {w.attempt for w in workers if w.doing == "opened"}
    stripe = tuple(
        AtStripe(t.intent) if c and c.status != "open" and a not in sent and t.intent != "undecided" else t
        for a, (t, c) in enumerate(zip(stripe, charges, strict=True))
    )
    return workers, stripe
