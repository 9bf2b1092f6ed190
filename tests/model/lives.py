"""What the model of a forgetting database is made of: rows, payments at Stripe, what is under way. Pure data.

A life of the database goes from one start, promotion or restore of it to the next (R31).
"""

from functools import cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar

# Ages count in steps longer than any lease. What matters is their order, and that a send begun within one of these
# bounds, a lease later, is still within the next: SEND + POST and GOOD + SEND are both below FORGET.
SEND, GOOD, CLOSES = 1, 1, 2  # last send after an open (R14) · an early listing is good for · a later one closes
YOUNG, POST, FORGET, MISS = 1, 2, 3, 4  # an order's key is younger (4 h) · 20 h · Stripe forgets (24 h) · 24 h 30 min
NEVER = -1

T = TypeVar("T")
Miss: TypeAlias = Literal["none", "unsent", "never", "park"]  # what a listing that does not show the charge will mean


class Payment(NamedTuple):
    """A PaymentIntent, with what its metadata says. Its Stripe id is its place in the list."""

    order: int
    other: bool  # made for the producer's other request
    attempt: int
    succeeded: bool


class Key(NamedTuple):
    """What Stripe remembers of a key: the request it ran, and since when."""

    payment: int
    age: int = 0


class Order(NamedTuple):
    """The one row that holds the producer's key. `age`: of the order, or of the call to pay again."""

    number: int
    other: bool = False
    age: int = 0
    status: Literal["open", "paid", "failed", "parked"] = "open"


class Charge(NamedTuple):
    """A row of `charges`. `payment`: the Stripe id, once it is known."""

    status: Literal["open", "succeeded", "declined"] = "open"
    first: int = NEVER  # age of first_sent_at
    last: int = NEVER  # age of last_sent_at
    conflict: bool = False  # the key was used for another request: it is only looked up (R32)
    payment: int = NEVER


class Life(NamedTuple):
    """The newest row of `lives`. Bounds are moments, told by how many payments had been made by then."""

    seen: int = NEVER  # how long ago it was first seen; NEVER: the database has not been looked at in this life
    bound: int = NEVER  # how far back to list; of a life not yet seen: what the life before hands on
    good: int = NEVER  # how long ago the first listing began; NEVER: there is none, or it has lapsed
    closed: bool = False

    @property
    def verified(self) -> bool:
        """Whether anything may be opened."""
        return self.closed or self.good != NEVER


class Database(NamedTuple):
    """Everything that a restore replaces."""

    order: Order | None = None
    charges: tuple[Charge | None, ...] = (None, None)
    proven: int = 0  # the newest moment of which a row of a verified life tells
    life: Life = Life(closed=True)

    @property
    def due(self) -> int | None:
        """The attempt that the outbox holds."""
        if self.order is None or self.order.status == "parked":
            return None
        for attempt, charge in enumerate(self.charges):
            if charge and charge.status == "open":
                return attempt
        if self.order.status != "open":
            return None
        return 1 if self.charges[0] else 0


class Worker(NamedTuple):
    """A worker after its open. It may sleep as long as it likes, and outlive the database it has read."""

    doing: Literal["idle", "send", "look", "missed"] = "idle"
    order: int = 0
    other: bool = False
    attempt: int = 0
    age: int = 0  # since it opened
    first: bool = False  # R16: this database knows of no send
    miss: Miss = "none"
    token: bool = False  # still the charge's current token
    saved: bool = False  # and so in the backup

    def __str__(self) -> str:
        return f"the worker with order {self.order}" + (", attempt 2," if self.attempt else "")


class Listing(NamedTuple):
    """The verifier at work, from the newest payment back to the bound."""

    bound: int
    at: int  # the payment it looks at next
    age: int = 0  # since it began
    late: bool = False  # begun when no worker of the life before could send any more
    stale: bool = False  # begun in another life


class State(NamedTuple):
    """Everything there is, at one moment."""

    db: Database = Database()
    backup: Database | None = None
    restores: int = 0  # that may still happen
    payments: tuple[Payment, ...] = ()
    keys: tuple[Key | None, ...] = (None, None)
    workers: tuple[Worker, ...] = ()
    listing: Listing | None = None
    old: Database | None = None  # a primary that goes on in its own life


IDLE = Worker()


# ── small changes ─────────────────────────────────────────────────────────────────────────────────────────────────


def put(items: tuple[T, ...], i: int, item: T) -> tuple[T, ...]:
    """The tuple with one of its items replaced."""
    return (*items[:i], item, *items[i + 1 :])


def work(s: State, i: int, worker: Worker) -> State:
    return s._replace(workers=put(s.workers, i, worker))


@cache
def closed(db: Database, attempt: int, payment: int, *, succeeded: bool) -> Database:
    """The attempt's charge has this end, and the order what follows from it."""
    charge = Charge("succeeded" if succeeded else "declined", payment=payment)
    db = db._replace(charges=put(db.charges, attempt, charge))
    ends = {c.status if c else "none" for c in (db.charges if db.charges[1] else db.charges[:1])}
    newest = db.charges[1] or db.charges[0]
    if db.order is None or newest is None:
        return db
    if "succeeded" in ends:
        return db._replace(order=db.order._replace(status="paid"))
    return db._replace(order=db.order._replace(status="failed")) if newest.status == "declined" else db


@cache
def ended(db: Database) -> Database:
    """What a copy of the database is at its next start: a life that nobody has seen, and the bound it was handed."""
    life = db.life
    return db._replace(life=Life(bound=NEVER if life.closed else life.bound))


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def older(db: Database) -> Database:
    """Everything in the database is one step older. A first listing lapses."""
    life = db.life
    return db._replace(
        order=db.order and db.order._replace(age=min(db.order.age + 1, POST)),
        charges=tuple(c and c._replace(first=_later(c.first, POST), last=_later(c.last, MISS)) for c in db.charges),
        life=life._replace(seen=_later(life.seen, CLOSES), good=_later(life.good, GOOD + 1)),
    )


def _later(age: int, most: int) -> int:
    return age if age == NEVER else min(age + 1, most)


@cache
def fades(key: Key | None) -> Key | None:
    """Stripe forgets what it did under a key."""
    return key._replace(age=key.age + 1) if key and key.age + 1 < FORGET else None


# ── what can only behave alike ────────────────────────────────────────────────────────────────────────────────────


@cache
def plain(db: Database) -> Database:
    """Without the ages that nobody asks for any more."""
    order = db.order
    return db._replace(
        order=order._replace(age=0) if order and order.status != "open" else order,
        charges=tuple(Charge(c.status, payment=c.payment) if c and c.status != "open" else c for c in db.charges),
        life=Life(closed=True) if db.life.closed else db.life,
    )


def canonical(s: State, *, r14: bool) -> State:
    """One state for all that can only behave alike: workers are interchangeable; who can change nothing is idle."""
    workers = [IDLE if _spent(w, r14=r14) else w for w in s.workers]
    db, backup = plain(s.db), s.backup and plain(s.backup)
    if not s.restores:
        backup, workers = None, [w._replace(saved=False) for w in workers]
        if db.life.closed:
            db = db._replace(proven=0)
    return s._replace(db=db, backup=backup, old=s.old and plain(s.old), workers=tuple(sorted(workers)))


def _spent(w: Worker, *, r14: bool) -> bool:
    """Too late to send (R14), or with a token that is nowhere (what it finds, others find, too)."""
    return w.age > SEND and r14 if w.doing == "send" else not (w.token or w.saved)
