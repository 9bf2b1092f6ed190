"""A database that forgets orders, as a model: R31 and R32, small enough that a machine can try every schedule.

One key of a producer, who repeats it whenever its order is gone. A database that is restored or promoted to any older
copy of itself under workers who go on. A Stripe that remembers keys for a day and payments for ever. Each answer is
settled in the step that brought it, or lost: `tests/model/protocol.py` takes the two apart. A plain restart is a
restore of the backup made just now.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.checker import Move
from tests.model.lives import (
    CLOSES,
    GOOD,
    IDLE,
    MISS,
    NEVER,
    POST,
    SEND,
    YOUNG,
    Charge,
    Database,
    Key,
    Life,
    Listing,
    Miss,
    Order,
    Payment,
    State,
    Worker,
    canonical,
    closed,
    ended,
    fades,
    older,
    put,
    work,
)

RULES = (
    "R31",
    "R31 second listing",
    "R31 an hour",
    "R31 from its beginning",
    "R31 this very life",
    "R31 verified rows",
    "R31 frozen",
    "R31 handed on",
    "R31 adoption",
    "R31 by its id",
    "R31 agreement",
    "R31 fenced",
    "R14",
    "R25 never executed",
    "R32",
)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The protocol with all rules on, or with one off.

    restores: how often the database is replaced by an older copy. pays_again: whether the producer pays again after a
    failure. bodies: how many different requests it makes under its key.
    """

    off: str | None = None
    restores: int = 2
    workers: int = 2
    pays_again: bool = True
    bodies: int = 2

    def on(self, rule: str) -> bool:
        """Whether the rule holds in this run."""
        return rule != self.off

    def start(self) -> State:
        """Nothing has been accepted, and the database knows everything."""
        return State(restores=self.restores, workers=(IDLE,) * self.workers)

    def moves(self, s: State) -> Iterator[Move[State]]:
        """Every step that can come next."""
        yield from self._producer(s)
        yield from self._copies(s)
        yield from self._verifier(s)
        for i, worker in enumerate(s.workers):
            if i and worker == s.workers[i - 1]:
                continue  # they can only do the same
            if worker == IDLE:
                yield from self._opens(s, i)
                continue
            yield from self._works(s, i, worker)
            yield Move(f"{worker} dies", work(s, i, IDLE))
        yield Move("time passes", self._tick(s), works=True)

    # ── producer and operator ─────────────────────────────────────────────────────────────────────────────────────

    def _producer(self, s: State) -> Iterator[Move[State]]:
        order, known = s.db.order, _numbers(s)
        if order is None:
            number = min(set(range(1, len(known) + 2)) - known)
            for other in (False, True) if known and self.bodies > 1 else (False,):
                name = f"the producer sends its key{', with another request' if other else ''}: order {number}"
                yield Move(name, self._written(s, s.db._replace(order=Order(number, other))))
        elif order.status == "failed" and s.db.charges[1] is None and self.pays_again:
            again = s.db._replace(order=order._replace(status="open", age=0))
            if _never_executed(s.db.charges[0]) and self.on("R25 never executed"):
                again = again._replace(charges=(None, None))
            yield Move(f"the producer pays order {order.number} again", self._written(s, again))
        elif order.status == "parked":
            again = s.db._replace(order=order._replace(status="open"))
            yield Move("`eo outbox retry`", s._replace(db=again))

    def _written(self, s: State, db: Database) -> State:
        """Rows of a life that is not verified prove nothing about what was forgotten."""
        proves = db.life.verified or not self.on("R31 verified rows")
        return s._replace(db=db._replace(proven=len(s.payments)) if proves else db)

    def _copies(self, s: State) -> Iterator[Move[State]]:
        """A copy of the database, made at any time; the database is replaced by it, or by one from before the order."""
        if s.db.life.verified and s.db.proven < len(s.payments) and s.restores:
            yield Move("a heartbeat", self._written(s, s.db))
        if not s.restores:
            return
        copy = ended(s.db)
        saved = tuple(w._replace(saved=w.token) for w in s.workers)
        yield Move("a backup is made", s._replace(backup=copy, workers=saved))
        yield Move("the database is restored as it was before all orders", self._restored(s, ended(Database())))
        if s.backup is not None:
            yield Move("the database is restored from the backup", self._restored(s, s.backup))

    def _restored(self, s: State, db: Database) -> State:
        """A restart, a restore, a promotion: the workers and the verifier of the life before go on for a while."""
        return s._replace(
            db=db,
            restores=s.restores - 1,
            workers=tuple(w._replace(token=w.saved and db == s.backup) for w in s.workers),
            listing=s.listing and s.listing._replace(stale=True),
            old=None if self.on("R31 fenced") else s.db,
        )

    # ── verification and adoption ─────────────────────────────────────────────────────────────────────────────────

    def _verifier(self, s: State) -> Iterator[Move[State]]:
        life, newest = s.db.life, len(s.payments) - 1
        if life.seen == NEVER and not life.closed:
            handed = life.bound if life.bound != NEVER and self.on("R31 handed on") else s.db.proven
            seen = s.db._replace(life=Life(seen=0, bound=handed))
            yield Move("the new life is seen", s._replace(db=seen), works=True)
        elif s.listing is None and not life.closed:
            bound = life.bound if self.on("R31 frozen") else s.db.proven
            listing = Listing(bound, newest, late=life.seen >= CLOSES)
            yield Move("a listing begins", s._replace(listing=listing), works=True)
        if s.listing is None:
            return
        yield Move("the verifier dies", s._replace(listing=None))
        if s.listing.at >= s.listing.bound:
            yield self._listed(s, s.listing)
        else:
            yield self._finished(s, s.listing)

    def _listed(self, s: State, listing: Listing) -> Move[State]:
        """A payment that is not known here by its Stripe id is adopted, in a transaction of its own."""
        at, payment = listing.at, s.payments[listing.at]
        after = s._replace(listing=listing._replace(at=at - 1))
        known = any(c and c.payment == at for c in s.db.charges)
        if not self.on("R31 by its id"):
            known = known or (s.db.order is not None and s.db.order.number == payment.order)
        if known:
            return Move("the listing shows what is known", after, works=True)
        name = f"the listing shows order {payment.order}'s payment, unknown here: "
        if not self.on("R31 adoption"):
            return Move(f"{name}reported", after, works=True)
        db, what = self._adopted(s.db, at, payment)
        if db.order and db.order.status == "parked":
            after = after._replace(workers=tuple(w._replace(token=False) for w in s.workers))
        return Move(name + what, self._written(after, db), works=True)

    def _adopted(self, db: Database, at: int, payment: Payment) -> tuple[Database, str]:
        order, charge = db.order, db.charges[payment.attempt]
        if order is None:
            db = db._replace(order=Order(payment.order, payment.other))
            return closed(db, payment.attempt, at, succeeded=payment.succeeded), "adopted"
        taken = charge is not None and charge.payment != NEVER
        if taken or (order.other != payment.other and self.on("R31 agreement")):
            return self._parked(db), f"order {order.number} is parked"
        what = "settled" if order.number == payment.order else f"taken over by order {order.number}"
        return closed(db, payment.attempt, at, succeeded=payment.succeeded), what

    def _finished(self, s: State, listing: Listing) -> Move[State]:
        after, life = s._replace(listing=None), s.db.life
        if listing.stale and (self.on("R31 this very life") or life.seen == NEVER):
            return Move("the listing of the life before ends for nothing", after, works=True)
        if listing.late or not self.on("R31 second listing"):
            name, life = "the listing ends and closes the life", life._replace(closed=True)
        elif (age := listing.age if self.on("R31 from its beginning") else 0) > GOOD:
            return Move("the listing ends too late", after, works=True)
        else:
            name, life = "the listing ends, good for an hour", life._replace(good=age)
        return Move(name, after._replace(db=s.db._replace(life=life)), works=True)

    # ── open ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _opens(self, s: State, i: int) -> Iterator[Move[State]]:
        if (s.db.life.verified or not self.on("R31")) and s.db.due is not None:
            name, db, worker = self._opened(s.db, s.db.due)
            others = tuple(w._replace(token=w.token and w.attempt != s.db.due) for w in s.workers)
            yield Move(name, work(self._written(s, db)._replace(workers=others), i, worker), works=True)
        if s.old and s.old.life.verified and s.old.due is not None:
            name, old, worker = self._opened(s.old, s.old.due)
            yield Move(f"at the old primary {name}", work(s._replace(old=old), i, worker._replace(token=False)))

    def _opened(self, db: Database, a: int) -> tuple[str, Database, Worker]:
        """One transaction, that reads the life, too (R12, R13, R17)."""
        order, charge = db.order, db.charges[a] or Charge()
        assert order is not None
        first, miss = charge.last == NEVER, _miss(charge)
        if charge.first == NEVER and order.age >= YOUNG:
            charge = charge._replace(first=order.age)
        wanted = order.status == "open"
        if not wanted and first:
            name = f"order {order.number} is opened, and not sent: another attempt has its end"
            return name, db._replace(charges=put(db.charges, a, None)), IDLE
        look = charge.conflict or charge.first >= POST or not wanted
        if not look:
            charge = charge._replace(first=max(charge.first, 0), last=0)
        db = db._replace(charges=put(db.charges, a, charge))
        doing = "look" if look else "send"
        name = f"order {order.number}{', attempt 2,' if a else ''} is opened, to {doing}"
        if look:
            return name, db, Worker("look", order.number, order.other, a, miss=miss, token=True)
        return name, db, Worker("send", order.number, order.other, a, first=first, token=True)

    # ── call and settle ───────────────────────────────────────────────────────────────────────────────────────────

    def _works(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        if w.doing == "send":
            yield from self._send(s, i, w)
        elif w.doing == "look":
            yield self._look(s, i, w)
        else:
            yield self._missed(s, i, w)

    def _send(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        key, done = s.keys[w.attempt], work(s, i, IDLE)
        if w.age > SEND and self.on("R14"):
            return
        if key is None:
            for succeeded in (True, False):
                yield from self._executes(s, i, w, succeeded=succeeded)
        elif s.payments[key.payment].order == w.order:
            yield Move(f"{w} sends, Stripe replays", _settled(done, w, key.payment), works=True)
        else:
            yield Move(f"{w} sends: the key was used for another request", self._conflict(done, w), works=True)
        if w.first and _holds(s, w):
            cleared = done.db._replace(charges=put(s.db.charges, w.attempt, Charge()))
            yield Move(f"{w} sends: 429", done._replace(db=cleared))

    def _executes(self, s: State, i: int, w: Worker, *, succeeded: bool) -> Iterator[Move[State]]:
        at = len(s.payments)
        name = f"{w} sends, Stripe executes: {'succeeded' if succeeded else 'declined'}"
        harm = _harm(s, w, succeeded=succeeded)
        lost = work(s, i, IDLE)._replace(
            payments=(*s.payments, Payment(w.order, w.other, w.attempt, succeeded)),
            keys=put(s.keys, w.attempt, Key(at)),
        )
        yield Move(name, _settled(lost, w, at), works=True, broken=harm)
        yield Move(f"{name}; the reply is lost", lost, broken=harm)

    def _conflict(self, s: State, w: Worker) -> State:
        """Looked up from now on, never posted again (R32)."""
        if not _holds(s, w) or s.db.order is None:
            return s
        if self.on("R32"):
            return s._replace(db=s.db._replace(charges=put(s.db.charges, w.attempt, Charge(conflict=True))))
        cleared = s.db._replace(charges=put(s.db.charges, w.attempt, Charge()))
        return s._replace(db=self._parked(cleared))

    def _parked(self, db: Database) -> Database:
        """Given to a human. Nothing of this order is ever posted again, by no retry (R32)."""
        looked_up = tuple(c if c and c.status != "open" else Charge(conflict=True) for c in db.charges)
        charges = looked_up if self.on("R32") else db.charges
        return db._replace(order=db.order and db.order._replace(status="parked"), charges=charges)

    def _look(self, s: State, i: int, w: Worker) -> Move[State]:
        """Ours by order and attempt (R19); after a conflict also by key, attempt and request (R32)."""
        for at, payment in enumerate(s.payments):
            ours = payment.order == w.order or (w.miss == "park" and payment.other == w.other)
            if payment.attempt == w.attempt and ours:
                name = f"{w} finds order {payment.order}'s payment in Stripe's list"
                return Move(name, _settled(work(s, i, IDLE), w, at), works=True)
        missed = IDLE if w.miss == "none" else w._replace(doing="missed")
        return Move(f"{w} does not find it: {w.miss}", work(s, i, missed), works=True)

    def _missed(self, s: State, i: int, w: Worker) -> Move[State]:
        done, order = work(s, i, IDLE), s.db.order
        if order is None or not _holds(s, w):
            return Move(f"{w} is fenced off", done, works=True)
        if w.miss == "park":
            db = self._parked(s.db)
        elif w.miss == "never":
            db = closed(s.db, w.attempt, NEVER, succeeded=False)
        else:
            db = s.db._replace(charges=put(s.db.charges, w.attempt, Charge(first=0)))
        return Move(f"{w} settles: {w.miss}", done._replace(db=db), works=True)

    def _tick(self, s: State) -> State:
        """Time passes: more than a lease. The first listing, the keys and the workers' right to send grow old."""
        db = older(s.db)
        if db.life.good > GOOD:
            db = db._replace(life=db.life._replace(good=NEVER if self.on("R31 an hour") else GOOD))
        return s._replace(
            db=db,
            backup=s.backup and older(s.backup),
            old=s.old and older(s.old),
            keys=tuple(fades(key) for key in s.keys),
            workers=tuple(w._replace(age=min(w.age + 1, SEND + 1)) if w.doing == "send" else w for w in s.workers),
            listing=s.listing and s.listing._replace(age=min(s.listing.age + 1, GOOD + 1)),
        )

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────

    def canonical(self, s: State) -> State:
        """One state for all that can only behave alike."""
        return canonical(s, r14=self.on("R14"))

    def is_final(self, s: State) -> bool:
        """Whether the life is closed, the order has its end or waits for a human, and nothing is under way."""
        busy = s.listing is not None or any(w != IDLE for w in s.workers) or not s.db.life.closed
        return not busy and s.db.due is None

    def broken_promise(self, s: State) -> str | None:
        """What is wrong with this state, in one sentence; None when nothing is."""
        order = s.db.order
        if order and order.status == "paid" and not any(p.succeeded and p.other == order.other for p in s.payments):
            return "the order is paid, and nothing was charged for it"
        if not self.is_final(s):
            return None
        booked = {c.payment for c in s.db.charges if c}
        for at, payment in enumerate(s.payments):
            reported = order is not None and order.status == "parked" and order.other != payment.other
            if at not in booked and not reported:
                return f"all is quiet, and nobody here knows order {payment.order}'s payment"
        if order and order.status == "failed" and any(p.succeeded for p in s.payments):
            return "all is quiet, the order is failed, and was charged"
        return None


def _numbers(s: State) -> set[int]:
    """The orders of which anything is left anywhere."""
    rows = {db.order.number for db in (s.db, s.backup, s.old) if db and db.order}
    return rows | {p.order for p in s.payments} | {w.order for w in s.workers if w != IDLE}


def _never_executed(charge: Charge | None) -> bool:
    return charge is not None and charge.payment == NEVER


def _miss(charge: Charge) -> Miss:
    """What it will mean if a complete listing does not show this charge (R18, R32)."""
    if charge.conflict:
        return "park"
    if charge.last == NEVER:
        return "unsent"
    return "never" if charge.last >= MISS else "none"


def _holds(s: State, w: Worker) -> bool:
    """Whether the worker holds the current token of a charge that is still open (R21)."""
    charge = s.db.charges[w.attempt]
    return w.token and charge is not None and charge.status == "open"


def _settled(s: State, w: Worker, at: int) -> State:
    """Stripe's word settles the charge that it is about, if there is one here."""
    order, charge = s.db.order, s.db.charges[w.attempt]
    if order is None or order.number != w.order or charge is None or charge.status != "open":
        return s
    return s._replace(db=closed(s.db, w.attempt, at, succeeded=s.payments[at].succeeded))


def _harm(s: State, w: Worker, *, succeeded: bool) -> str | None:
    """The promise that Stripe's executing this breaks."""
    if succeeded and any(p.succeeded for p in s.payments):
        return "a second successful charge of one key"
    if any(p.attempt == w.attempt for p in s.payments):
        return "one attempt is executed twice"
    return None
