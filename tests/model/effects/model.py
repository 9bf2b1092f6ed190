"""All five effects of one order under one protocol: every schedule of them, alone and beside each other.

Two workers, an outbox that delivers at any time and again, a Stripe that remembers keys for a day, a database that is
restored under workers who go on. Leases are always over, and time has no bound. What is left to Stripe itself is its
own state machine of a PaymentIntent, and that it refunds no more than it took.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.checker import Move
from tests.model.effects import asking, facts, outside, working
from tests.model.effects.rows import (
    BEFORE,
    CANCEL,
    CHARGE,
    CHARGES,
    IDLE,
    NAMES,
    REFUND,
    REFUNDS,
    Database,
    Intent,
    Row,
    State,
    fades,
    older,
    plain,
    row,
    work,
)
from tests.model.effects.setting import Setting


@dataclass(frozen=True, slots=True)
class Effects(Setting):
    """The protocol with all rules on, or with one off."""

    def start(self) -> State:
        """Where this interleaving begins."""
        db = Database()
        intents: tuple[Intent, ...] = ("none", "none")
        if self.start_at != "pending":
            intents = (self.start_at, "none")
            db = row(db._replace(order="processing"), CHARGE, Row("open"))
            db = facts.intent_is(db, CHARGE, self.start_at, self.on)
        s = State(
            db, intents, workers=(IDLE,) * self.workers, faults=self.faults, restores=self.restores, past=self.past
        )
        before = row(db, CHARGE, Row("open", maybe=True, first=0, last=0))._replace(order="processing")
        return s._replace(backup=(before if self.unsettled else db) if self.restores else None)

    def moves(self, s: State) -> Iterator[Move[State]]:
        """Every step that can come next."""
        yield from asking.asks(self, s)
        yield from outside.happens(self, s)
        yield from self._shown(s)
        yield from self._lives(s)
        for i, worker in enumerate(s.workers):
            if i and worker == s.workers[i - 1]:
                continue
            if worker == IDLE:
                yield from working.opens(self, s, i)
                continue
            yield from working.works(self, s, i, worker)
            if s.faults:
                yield Move(f"{worker} dies", work(s, i, IDLE)._replace(faults=s.faults - 1))
        yield Move("time passes", self._tick(s), works=True)

    def _shown(self, s: State) -> Iterator[Move[State]]:
        """An event, a list, a poll: at any time, also before our own commit (R38). A waiting charge is polled."""
        for a in CHARGES:
            if (db := facts.payment(s, s.db, a, self.on, adopts=s.restored and s.db.life == "closed")) != s.db:
                known = s.db.rows[a]
                polled = known is not None and not known.going
                yield Move(f"Stripe shows PaymentIntent {a + 1}: {s.intents[a]}", s._replace(db=db), works=polled)
        for re, made in enumerate(s.made):
            mine = s.db.rows[made.effect]
            if s.db.life != "closed" and mine is None:
                continue  # that is adoption's matter
            if re in s.lost and mine is not None and mine.re == re and not self.on("R31 failures"):
                continue
            if (db := facts.shown_with_others(s, re, self.on, self.money)) != s.db:
                polled = mine is None or not mine.going or mine.status == "processing"
                name = f"Stripe shows {NAMES[made.effect]}: {made.status}"
                yield Move(name, s._replace(db=db), works=polled)
        if s.db.order == "requires_action" and not s.db.changing and s.db.rows[CANCEL] is None:
            late = row(s.db, CANCEL, Row(copy=int(s.restored)))
            yield Move("24 h are over, and the cancel is wanted", s._replace(db=late), works=True)

    def _lives(self, s: State) -> Iterator[Move[State]]:
        if self.copies and s.restores and s.backup != s.db:
            yield Move("a backup is made", s._replace(backup=s.db))
        if s.backup is not None and s.restores:
            db = s.backup._replace(life="new")
            after = s._replace(
                db=db,
                restores=0,
                restored=True,
                lost=tuple(re for re, m in enumerate(s.made) if m.status == "failed"),
                backup=None,
                workers=tuple(w._replace(token=False) for w in s.workers),
            )
            yield Move("the database is restored", after)
        if s.db.life != "closed" and not s.db.verified:
            db = facts.adopted(s, self.on, self.money)
            closes = s.db.life == "aged"
            name = "the verifier lists and adopts" + (", and closes the life" if closes else "")
            yield Move(name, s._replace(db=db._replace(life="closed" if closes else "listed")), works=True)

    def _tick(self, s: State) -> State:
        life = "aged" if s.db.life in ("new", "listed") else s.db.life
        keys = tuple(tuple(fades(k) for k in ks) if any(ks) else ks for ks in s.keys)
        workers = tuple(w._replace(late=w.doing == "opened" and not w.look) for w in s.workers)
        db = s.db
        if s.restored and db.verified and self.on("R31 sweep"):
            for re in range(len(s.made)):
                db = facts.shown_with_others(s._replace(db=db), re, self.on, self.money)
            for a in CHARGES:
                db = facts.payment(s, db, a, self.on, adopts=True)
        db = db._replace(rows=tuple(older(r) for r in db.rows), life=life)
        backup = s.backup and s.backup._replace(rows=tuple(older(r) for r in s.backup.rows))
        return s._replace(db=db, backup=backup, keys=keys, workers=workers)

    def canonical(self, s: State) -> State:
        """One state for all that can only behave alike."""
        db = s.db._replace(rows=tuple(r if r is None or r.said == "500" else plain(r) for r in s.db.rows))
        workers = tuple(sorted(s.workers))
        return s._replace(db=db, workers=workers, backup=s.backup if s.restores else None)

    def is_final(self, s: State) -> bool:
        """Whether nothing of ours is under way, and Stripe shows nothing that is not known here."""
        waits = any(r is not None and r.status in ("action", "bank", "authorized") for r in s.db.rows)
        going = waits or any(r is not None and r.going for r in s.db.rows)
        if going or s.db.life != "closed" or any(w != IDLE for w in s.workers):
            return False
        return not any(True for _ in self._shown(s))

    def broken_promise(self, s: State) -> str | None:
        """What is wrong with this state, in one sentence; None when nothing is."""
        db = s.db
        if min(db.owed, db.refunding, db.payable) < 0:
            return f"a count is negative: {db.owed} owed, {db.refunding} under way, {db.payable} payable"
        if db.refunded > db.captured:
            return "more is refunded here than was taken"
        if db.order == "paid" and "succeeded" not in s.intents:
            return "the order is paid, and nothing was taken"
        for effect in REFUNDS:
            mine = db.rows[effect]
            if mine is not None and mine.status == "refused" and any(m.effect == effect for m in s.made):
                return "a refund is called failed, and Stripe made it"
        if s.told and any(m.effect == REFUND for m in s.made):
            return "a refund that was called failed is made"
        if not self.is_final(s):
            return None
        return self._quiet(s)

    def _quiet(self, s: State) -> str | None:
        db = s.db
        given = sum(self.money[m.effect] for m in s.made if m.status == "succeeded")
        back = sum(self.money[m.effect] for m in s.made if m.status == "failed")
        if (db.refunded, db.out, db.refunding) != (given, given, 0):
            return f"all is quiet: Stripe gave back {given}, here it is {db.refunded}, in the books {db.out}"
        if db.owed != db.payable or db.owed > back:
            return f"all is quiet: {db.owed} is owed, and the books say {db.payable}"
        if (db.order == "paid") != ("succeeded" in s.intents):
            return f"all is quiet, and the order is {db.order}: Stripe has {s.intents}"
        if db.order == "canceled" and s.canceled_by == BEFORE and s.intents[1] == "none":
            return "all is quiet, and the order is canceled: nobody wanted that"
        if db.order == "processing":
            return "all is quiet, and the order is still processing"
        return None
