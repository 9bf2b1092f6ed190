"""All five effects of one order under one protocol: every schedule of them, alone and beside each other.

Two workers, an outbox that delivers at any time and again, a Stripe that remembers keys for a day, a database that is
restored under workers who go on. Leases are always over, and time has no bound. What is left to Stripe itself is its
own state machine of a PaymentIntent, and that it refunds no more than it took.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.checker import Move
from tests.model.effects import facts
from tests.model.effects.rows import (
    BEFORE,
    CANCEL,
    CAPTURE,
    CHANGES,
    CHARGE,
    CHARGES,
    EFFECTS,
    IDLE,
    MISS,
    NAMES,
    NEVER,
    OTHER,
    PAST,
    POST,
    REFUND,
    REFUNDS,
    SECOND,
    TRIES,
    YOUNG,
    Database,
    Intent,
    Key,
    Made,
    Row,
    State,
    Worker,
    fades,
    key,
    older,
    plain,
    put,
    row,
    work,
)
from tests.model.effects.stripe import charge_of, runs


@dataclass(frozen=True, slots=True)
class Effects:
    """The protocol with all rules on, or with one off. The rest says which interleaving this is.

    start_at: what has happened already. asks: what the producer may ask for. ends: what can come of a charge.
    amounts: of the two refunds and the one past us; 2 was taken.
    """

    off: str | None = None
    start_at: str = "pending"
    asks: frozenset[int] = frozenset()
    ends: tuple[Intent, ...] = ("succeeded", "declined")
    amounts: tuple[int, int, int] = (2, 2, 2)
    faults: int = 1
    workers: int = 2
    restores: int = 0
    past: bool = False
    unsettled: bool = False  # the backup was made before the charge's answer was settled
    copies: bool = False  # the backup may be made at any time, not only before everything
    pends: bool = False  # a refund may be pending at Stripe at first
    later: bool = False  # the customer tries once more, a bank takes its time, a refund fails days later

    def on(self, rule: str) -> bool:
        """Whether the rule holds in this run."""
        return rule != self.off

    @property
    def money(self) -> tuple[int, ...]:
        """The amount of each effect."""
        return (2, 2, 2, 2, 2, *self.amounts)

    def start(self) -> State:
        """Where this interleaving begins."""
        db, intents = Database(), ("none", "none")
        if self.start_at != "pending":
            intents = (self.start_at, "none")
            db = row(db._replace(order="processing"), CHARGE, Row("open"))
            db = facts.intent_is(db, CHARGE, self.start_at, self.on)
        s = State(
            db, intents, workers=(IDLE,) * self.workers, faults=self.faults, restores=self.restores, past=self.past
        )  # type: ignore[arg-type]
        before = row(db, CHARGE, Row("open", maybe=True, first=0, last=0))._replace(order="processing")
        return s._replace(backup=(before if self.unsettled else db) if self.restores else None)

    def moves(self, s: State) -> Iterator[Move[State]]:
        """Every step that can come next."""
        yield from self._producer(s)
        yield from self._others(s)
        yield from self._shown(s)
        yield from self._lives(s)
        for i, worker in enumerate(s.workers):
            if i and worker == s.workers[i - 1]:
                continue
            if worker == IDLE:
                yield from self._opens(s, i)
                continue
            yield from self._works(s, i, worker)
            if s.faults:
                yield Move(f"{worker} dies", work(s, i, IDLE)._replace(faults=s.faults - 1))
        yield Move("time passes", self._tick(s), works=True)

    # ── what is asked ─────────────────────────────────────────────────────────────────────────────────────────────

    def _producer(self, s: State) -> Iterator[Move[State]]:
        db = s.db
        for effect in self.asks:
            if effect in REFUNDS:
                asked = self._refund(s, effect)
            elif effect == BEFORE:
                asked = self._pay(s)
            else:
                asked = self._change(s, effect)
            if asked is not None:
                yield Move(f"the producer asks for {NAMES[effect]}", s._replace(db=asked))
        if CANCEL in self.asks and db.order == "pending" and (db.life == "closed" or not self.on("R31 cancel")):
            canceled = row(db, CHARGE, None)._replace(order="canceled")
            yield Move("the producer cancels, and is told that nothing will be charged", s._replace(db=canceled))

    def _refund(self, s: State, effect: int) -> Database | None:
        db, amount = s.db, self.money[effect]
        under_way = db.refunding if self.on("R26 cap") else 0
        if db.order != "paid" or db.rows[effect] is not None or db.captured - db.refunded - under_way < amount:
            return None
        drawn = min(db.owed, amount)
        new = Row(copy=int(s.restored), drawn=0 if self.on("R26 drawn") else drawn)
        return row(db, effect, new)._replace(refunding=db.refunding + amount)

    def _change(self, s: State, effect: int) -> Database | None:
        db = s.db
        states = ("authorized",) if effect == CAPTURE else ("requires_action", "authorized")
        if db.order not in states or (db.changing and self.on("R37 one change")) or db.rows[effect] is not None:
            return None
        return row(db, effect, Row(copy=int(s.restored)))

    def _pay(self, s: State) -> Database | None:
        """Attempt 2, after attempt 1 has been canceled at Stripe; or attempt 1 again, if it was never executed (R25)."""
        db = s.db
        if db.order != "failed" or db.changing or db.rows[SECOND] is not None:
            return None
        first = db.rows[CHARGE]
        db = db._replace(order="processing")
        if first is not None and first.said == "500":  # never executed: the same key, as old as the order
            return row(db, CHARGE, Row(born=POST if self.on("R25 as old") else 0))
        if not self.on("R25"):
            return row(db, SECOND, Row())
        return row(db, BEFORE, Row(copy=int(s.restored)))

    # ── Stripe, its customers, its dashboard ──────────────────────────────────────────────────────────────────────

    def _others(self, s: State) -> Iterator[Move[State]]:
        for a, intent in enumerate(s.intents):
            yield from self._customer(s, a, intent)
        for effect in EFFECTS:
            for nth, known in enumerate(s.keys[effect]):
                if known and known.answer == "undecided":
                    yield from self._decides(s, effect, nth, known)
        for re, made in enumerate(s.made):
            if made.status == "pending" or (made.status == "succeeded" and self.later):
                for status in ("succeeded", "failed") if made.status == "pending" else ("failed",):
                    after = s._replace(made=put(s.made, re, made._replace(status=status)))
                    yield Move(f"Stripe: {NAMES[made.effect]} {status}", after, works=made.status == "pending")
        left = 2 - sum(self.money[m.effect] for m in s.made if m.status != "failed")
        if s.past and s.intents[0] == "succeeded" and left >= self.money[PAST]:
            after = s._replace(past=False, made=(*s.made, Made(PAST)))
            yield Move("somebody refunds at Stripe, past us", after)

    def _customer(self, s: State, a: int, intent: Intent) -> Iterator[Move[State]]:
        def becomes(new: Intent, name: str, *, works: bool = False) -> Move[State]:
            second = new == "succeeded" and "succeeded" in s.intents
            after = s._replace(intents=put(s.intents, a, new))
            if new == "canceled" and a == 0:
                after = after._replace(canceled_by=NEVER)
            return Move(
                f"PaymentIntent {a + 1}: {name}",
                after,
                works=works,
                broken="a second successful charge of one order" if second else None,
            )

        paid: Intent = "held" if "held" in self.ends else "succeeded"
        if intent == "action":
            yield becomes(paid, "the customer confirms it")
            yield becomes("declined", "3-D Secure fails")
        elif intent == "declined" and self.later:
            yield becomes(paid, "the customer pays it with another card")
            yield becomes("bank", "the customer tries a bank")
        elif intent == "bank":
            yield becomes("succeeded", "the bank says yes", works=True)
            yield becomes("declined", "the bank says no", works=True)
        elif intent == "held":
            yield becomes("canceled", "the authorisation ends after 7 days", works=True)

    def _decides(self, s: State, effect: int, nth: int, known: Key) -> Iterator[Move[State]]:
        done = key(s, effect, nth, known._replace(answer="500"))
        yield Move(f"Stripe drops what it answered 500 to: {NAMES[effect]}", done, works=True)
        for answer, _, after, harm in runs(done, effect, known.copy, self.ends, self.money, pends=self.pends):
            if answer != "refused":
                yield Move(f"Stripe still runs what it answered 500 to: {NAMES[effect]} {answer}", after, broken=harm)

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

    # ── a database that forgets ───────────────────────────────────────────────────────────────────────────────────

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
            closes = s.db.life == "aged" or not self.on("R31 second listing")
            name = "the verifier lists and adopts" + (", and closes the life" if closes else "")
            yield Move(name, s._replace(db=db._replace(life="closed" if closes else "listed")), works=True)

    # ── open ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _opens(self, s: State, i: int) -> Iterator[Move[State]]:
        if not s.db.verified and self.on("R31"):
            return
        for effect in EFFECTS:
            known = s.db.rows[effect]
            if known is None or known.status not in ("pending", "open"):
                continue
            if effect in CHARGES and known.status == "pending" and s.db.order not in ("pending", "processing"):
                absorbed = row(s.db, effect, None)
                yield Move(f"{NAMES[effect]} is delivered, and no longer wanted", s._replace(db=absorbed), works=True)
                continue
            yield self._opened(s, i, effect, known)

    def _opened(self, s: State, i: int, effect: int, known: Row) -> Move[State]:
        if known.first == NEVER and known.born >= YOUNG and self.on("R17 promise"):
            known = known._replace(first=known.born)
        look = known.look or (known.first >= POST and self.on("R17"))
        first, miss = not known.maybe, self._miss(effect, known)
        known = known._replace(status="open", look=look)
        if not look and self.on("R13"):
            known = known._replace(maybe=True, first=max(known.first, 0), last=0)
        order = "processing" if s.db.order == "pending" else s.db.order
        workers = tuple(w._replace(token=w.token and w.effect != effect) for w in s.workers)
        worker = Worker(
            "opened",
            effect,
            known.copy,
            known.nth,
            token=True,
            look=look,
            first=first and not look,
            outcome=miss if look else "",
        )
        name = f"{NAMES[effect]} is opened, to {'look' if look else 'send'}"
        db = row(s.db._replace(order=order), effect, known)
        if effect == BEFORE and not self.on("R25 answer") and db.rows[SECOND] is None:
            db = row(db, SECOND, Row())
        return Move(name, work(s._replace(db=db, workers=workers), i, worker), works=True)

    def _miss(self, effect: int, known: Row) -> str:
        """What it will mean if Stripe does not show it (R18, R37)."""
        if known.last == NEVER and not known.said:
            return "unsent"
        if effect in CHANGES:
            return "next" if self.on("R37 next try") else "send"
        if known.last >= MISS or not self.on("R18"):
            if effect in CHARGES or (effect in REFUNDS and not self.on("R26 asked again")):
                return "never"
            return "next"
        return "send" if known.first < POST and not known.said else "look"

    # ── call ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _works(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        if w.doing == "answered":
            yield self._settle(s, i, w)
        elif w.look:
            yield self._look(s, i, w)
        elif w.late and self.on("R14"):
            yield self._answer(s, i, w, "cleared" if w.first else "send", "too late, abandoned before the call")
        else:
            yield from self._send(s, i, w)

    def _answer(self, s: State, i: int, w: Worker, outcome: str, name: str, re: int = -1) -> Move[State]:
        answered = Worker("answered", w.effect, w.copy, w.nth, w.token, outcome=outcome, re=re)
        return Move(f"{w}: {name}", work(s, i, answered), works=True)

    def _look(self, s: State, i: int, w: Worker) -> Move[State]:
        """A PaymentIntent by its id or our metadata, a refund in the list of its payment by our metadata (R19)."""
        if w.effect in REFUNDS:
            for re, made in enumerate(s.made):
                ours = made.effect == w.effect and (made.copy == w.copy or self.on("R32 refund"))
                if ours or not self.on("R19"):
                    return self._answer(s, i, w, f"is {made.status}", f"finds it: {made.status}", re)
        else:
            intent = s.intents[charge_of(s, w.effect)]
            if w.effect in CHARGES:
                shows = intent != "none"
            else:
                shows = intent in ("succeeded", "canceled")
            if shows:
                return self._answer(s, i, w, f"is {intent}", f"finds the PaymentIntent {intent}")
        return self._answer(s, i, w, w.outcome, f"does not find it: {w.outcome}")

    def _send(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        known = s.keys[w.effect][w.nth]
        if known is None:
            for answer, re, after, harm in runs(s, w.effect, w.copy, self.ends, self.money, pends=self.pends):
                new = key(after, w.effect, w.nth, Key(answer, w.copy, re))
                yield from self._replies(new, i, w, answer, f"sends, Stripe answers {answer}", re, harm)
        elif known.copy != w.copy:
            yield self._answer(s, i, w, "conflict", "sends, and the key was used for another request")
        elif known.answer in ("500", "undecided"):
            yield self._answer(s, i, w, "500", "sends, Stripe replays the 500")
        elif known.answer == "short":
            outcome = "cleared" if w.first or not self.on("R16") else "look"
            yield self._answer(s, i, w, outcome, "sends, Stripe replays that its balance is short")
        else:
            name = f"sends, Stripe replays {known.answer}"
            yield from self._replies(s, i, w, known.answer, name, known.re, None)
        if s.faults:
            yield from self._odd(s._replace(faults=s.faults - 1), i, w, fresh=known is None)

    def _replies(
        self, s: State, i: int, w: Worker, answer: str, name: str, re: int, harm: str | None
    ) -> Iterator[Move[State]]:
        outcome = self._judged(w, answer)
        yield self._answer(s, i, w, outcome, name, re)._replace(broken=harm)
        if s.faults:
            for again in ("send", "look"):
                lost = self._answer(s._replace(faults=s.faults - 1), i, w, again, f"{name}; the reply is lost: {again}")
                yield lost._replace(works=False, broken=harm)

    def _judged(self, w: Worker, answer: str) -> str:
        if answer != "refused":
            return f"is {answer}"
        if w.effect in CHANGES:
            return "refused" if self.on("R37 refusal") else "over"
        return "over" if w.first or not self.on("R16") else "look"

    def _odd(self, s: State, i: int, w: Worker, *, fresh: bool) -> Iterator[Move[State]]:
        unexecuted = "cleared" if w.first or not self.on("R16") else "send"
        yield self._answer(s, i, w, unexecuted, "sends: 429")._replace(works=False)
        yield self._answer(s, i, w, "send", "sends, the request is lost")._replace(works=False)
        if fresh:
            after = key(s, w.effect, w.nth, Key("undecided", w.copy))
            yield self._answer(after, i, w, "500", "sends: a saved 500, Stripe is undecided")._replace(works=False)
        if fresh and w.effect in REFUNDS:
            after = key(s, w.effect, w.nth, Key("short", w.copy))
            yield self._answer(after, i, w, unexecuted, "sends: Stripe's balance is short")._replace(works=False)

    # ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, s: State, i: int, w: Worker) -> Move[State]:
        done, known = work(s, i, IDLE), s.db.rows[w.effect]
        name = f"{w}: settles {w.outcome}"
        if w.outcome.startswith("is ") and (w.token or w.outcome == "is succeeded" or not self.on("R21")):
            return Move(name, done._replace(db=self._fact(s, w)), works=True)
        if known is None or known.status != "open" or not (w.token or not self.on("R21")):
            return Move(f"{w}: fenced off", done, works=True)
        told = s.told or (w.effect == REFUND and w.outcome == "never")
        return Move(name, done._replace(db=self._undecided(s.db, w, known), told=told), works=True)

    def _fact(self, s: State, w: Worker) -> Database:
        db, intent = s.db, w.outcome.removeprefix("is ")
        if w.effect in CHARGES:
            return facts.intent_is(db, w.effect, intent, self.on)
        if w.effect in REFUNDS:
            after = facts.refund_is(db, w.effect, w.re, intent, self.money[w.effect], self.on)
            return after if after.refunded <= after.captured else facts.shown_with_others(s, w.re, self.on, self.money)
        a = 0 if w.effect == BEFORE or db.rows[SECOND] is None else 1
        return facts.change_is(
            facts.intent_is(db, a, intent, self.on, by_pay=w.effect == BEFORE), w.effect, intent, self.on
        )

    def _undecided(self, db: Database, w: Worker, known: Row) -> Database:
        if w.outcome == "cleared":
            return row(db, w.effect, Row("open", nth=known.nth, copy=known.copy, born=known.born))
        if w.outcome == "unsent":
            return row(db, w.effect, known._replace(first=0, look=False))
        if w.outcome == "next":
            grows = w.effect in CHANGES or not self.on("R26 same key")
            nth = min(known.nth + 1, TRIES - 1) if grows else known.nth
            return row(db, w.effect, Row("open", nth=nth, copy=known.copy))
        if w.outcome in ("never", "over"):
            return self._ended(db, w, known)
        if w.outcome == "send":
            return row(db, w.effect, known._replace(look=False, said=known.said if self.on("R37 next try") else ""))
        said = w.outcome if w.outcome in ("500", "refused", "conflict") else known.said
        return row(db, w.effect, known._replace(look=True, said=said))

    def _ended(self, db: Database, w: Worker, known: Row) -> Database:
        """Without an object at Stripe: never executed, or refused."""
        if w.effect in CHARGES:
            db = row(db, w.effect, Row("declined", said="500"))
            return db._replace(order="failed" if db.order == "processing" else db.order)
        if w.effect in REFUNDS:
            db = row(db, w.effect, Row("refused", copy=known.copy))
            return db._replace(refunding=db.refunding - self.money[w.effect])
        return facts.change_is(db, w.effect, "refused", self.on)

    def _tick(self, s: State) -> State:
        life = "aged" if s.db.life in ("new", "listed") else s.db.life
        keys = tuple(tuple(fades(k) for k in ks) if any(ks) else ks for ks in s.keys)
        workers = tuple(w._replace(late=w.doing == "opened" and not w.look) for w in s.workers)
        db = s.db
        if s.restored and db.verified and self.on("R38 sweep"):
            for re in range(len(s.made)):
                db = facts.shown_with_others(s._replace(db=db), re, self.on, self.money)
            for a in CHARGES:
                db = facts.payment(s, db, a, self.on, adopts=True)
        db = db._replace(rows=tuple(older(r) for r in db.rows), life=life)
        backup = s.backup and s.backup._replace(rows=tuple(older(r) for r in s.backup.rows))
        return s._replace(db=db, backup=backup, keys=keys, workers=workers)

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────

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


__all__ = ["Effects", "OTHER", "REFUND", "Made"]
