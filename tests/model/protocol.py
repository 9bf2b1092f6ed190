"""The charge protocol as a model: small enough that a machine can try every schedule of it.

One order with at most two attempts, two workers, a relay, a broker that repeats and loses messages, and a Stripe that
remembers keys for a day. Leases do not exist here (they are always over): they save calls, safety must not need them.
Time is unbounded; only the ages at which something changes are told apart. A rule can be switched off to see what it
is for: `Model(off="R17")`. Each move is named by what happens, with the rules that shape it.

What the model leaves out: batches, several orders, 3-D Secure, refunds, and a restore while Stripe is still undecided
about a 500 (nobody who forgot the question can wait for its answer; reconciliation reports it).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.checker import Move
from tests.model.state import (
    FORGET,
    IDLE,
    MISS,
    NEVER,
    POST,
    AtStripe,
    Call,
    Charge,
    Message,
    Outcome,
    State,
    Worker,
    canonical,
    close,
    fades,
    older,
    put,
    restored,
    work,
)

# What can be switched off. "R17 promise": as long as no send is known, a key may be as old as its promise.
RULES = ("R9", "R12", "R13", "R14", "R16", "R17", "R17 promise", "R18", "R19", "R21", "R23", "R25", "R33")


@dataclass(frozen=True, slots=True)
class Model:
    """The protocol with all rules on, or with one off. `faults`: crashes, lost replies and odd answers together.

    pays_again, restores: whether the producer may pay again, and an operator restore a backup once.
    merges: whether what can change nothing any more is forgotten, so that fewer states are visited.
    """

    off: str | None = None
    faults: int = 2
    pays_again: bool = True
    restores: bool = True
    merges: bool = True

    @property
    def forgets_what_is_spent(self) -> bool:
        """Merging rests on these rules, so it ends where one of them does."""
        return self.merges and self.off not in ("R9", "R19", "R21")

    def on(self, rule: str) -> bool:
        """Whether the rule holds in this run."""
        return rule != self.off

    def start(self) -> State:
        """Accepted: the order and its outbox row, in one commit."""
        return State(faults=self.faults, backup=self.restores)

    def moves(self, s: State) -> Iterator[Move[State]]:
        """Every step that can come next."""
        yield from self._relay_and_broker(s)
        for i, worker in enumerate(s.workers):
            if worker.doing == "idle":
                yield from self._open(s, i)
                if s.workers[0] == s.workers[1]:
                    break  # two idle workers are the same worker
            elif worker.doing == "opened":
                yield from self._call(s, i, worker)
            else:
                yield self._settle(s, i, worker)
            if worker.doing != "idle" and s.faults:
                yield Move(f"crash: the {worker} dies", work(s, i, IDLE)._replace(faults=s.faults - 1))
        yield from self._people(s)
        yield from self._stripe_decides(s)
        yield from self._proof_from_elsewhere(s)
        yield Move("time passes", self._tick(s), works=True)

    # ── relay and broker ──────────────────────────────────────────────────────────────────────────────────────────

    def _relay_and_broker(self, s: State) -> Iterator[Move[State]]:
        for a in (0, 1):
            if s.outbox[a] and s.broker[a] is None:
                message = Message() if self.on("R9") else Message(s.charges[a])
                name = f"R11 the relay publishes attempt {a + 1}"
                yield Move(name, s._replace(broker=put(s.broker, a, message)), works=True)
        if any(s.broker):
            yield Move("the broker is wiped", s._replace(broker=(None, None)))

    # ── open ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self, s: State, i: int) -> Iterator[Move[State]]:
        """A message is delivered; it may be delivered again."""
        for a, message in enumerate(s.broker):
            if message is None:
                continue
            name, opened = self._opened(s, i, a, message)
            yield Move(name, opened._replace(broker=put(s.broker, a, None)), works=True)
            if opened != s:
                yield Move(f"{name}; the broker will deliver again", opened)

    def _opened(self, s: State, i: int, a: int, message: Message) -> tuple[str, State]:
        """One transaction under the order's row lock."""
        order, known = s.order, s.charges[a]
        if not self.on("R9"):
            order, known = "processing", message.charge
        elif not s.outbox[a]:
            return f"R9 attempt {a + 1} delivered: its outbox row is gone, absorbed", s
        closed = known.status != "open" if known else order not in ("pending", "processing") and self.on("R12")
        if closed:
            return f"R12 attempt {a + 1} delivered: done, absorbed", s._replace(outbox=put(s.outbox, a, False))
        charge = known or Charge()
        if charge.first == NEVER and self._may_be_as_old_as_its_promise(s.promise, new=known is None):
            charge = charge._replace(first=s.promise)
        if charge.first >= POST and self.on("R17"):
            charge = charge._replace(call="look")
        first, miss = not charge.maybe, self._miss(charge)
        if charge.call == "send" and self.on("R13"):
            charge = charge._replace(maybe=True, first=max(charge.first, 0), last=0)
        others = tuple(w._replace(token=False) if w.attempt == a else w for w in s.workers)
        worker = Worker("opened", a, token=True, call=charge.call, first=first and charge.call == "send", outcome=miss)
        after = s._replace(
            order="processing" if s.order == "pending" else s.order, charges=put(s.charges, a, charge), workers=others
        )
        return f"R13 attempt {a + 1} is opened, to {charge.call}", work(after, i, worker)

    def _may_be_as_old_as_its_promise(self, promise: int, *, new: bool) -> bool:
        """Perhaps the key was sent in a life that the database forgot. A young promise leaves time enough (R17)."""
        if self.on("R17 promise"):
            return promise >= FORGET - POST
        return new and promise >= POST  # what one thinks of first: ask at the first open, and only of old orders

    def _miss(self, charge: Charge) -> Outcome:
        """What it will mean if a complete listing does not show this charge (R18)."""
        if charge.call == "send":
            return "none"
        if charge.last == NEVER:
            return "unsent"
        if charge.last >= MISS or not self.on("R18"):
            return "never"
        return "send" if charge.first < POST and not charge.saved else "look"

    # ── call and classify ─────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        if w.call == "look":
            yield self._look(s, i, w)
        elif w.late and self.on("R14"):
            yield _answer(s, i, w, "cleared" if w.first else "send", "R14 abandoned before the call: too late")
        elif w.attempt == 1 and self.on("R25") and s.stripe[0].intent in ("succeeded", "declined"):
            yield self._cancel_earlier(s, i, w)
        else:
            yield from self._send(s, i, w)

    def _look(self, s: State, i: int, w: Worker) -> Move[State]:
        intent = s.stripe[w.attempt].intent
        if not self.on("R19"):  # by customer and amount alone, another order's payment looks like ours
            return _answer(s, i, w, "succeeded", "R19 finds another order's payment in Stripe's list")
        if intent == "succeeded":
            return _answer(s, i, w, "succeeded", "R18 finds the success in Stripe's list")
        if intent in ("declined", "canceled"):
            return _answer(s, i, w, "declined", "R18 finds the decline in Stripe's list")
        return _answer(s, i, w, w.outcome, f"R18 a complete list does not show it: {w.outcome}")

    def _cancel_earlier(self, s: State, i: int, w: Worker) -> Move[State]:
        """Attempt 2 is not sent while attempt 1's PaymentIntent can still be paid (R25)."""
        if s.stripe[0].intent == "succeeded":
            return _answer(s, i, w, "earlier", "R25 cannot cancel attempt 1 at Stripe: it has succeeded")
        canceled = s.stripe[0]._replace(intent="canceled")
        return Move(f"{w}: R25 cancels attempt 1 at Stripe", s._replace(stripe=put(s.stripe, 0, canceled)), works=True)

    def _send(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        """The POST. Executing and answering is one moment at Stripe; losing the answer is another matter."""
        a, had = w.attempt, s.stripe[w.attempt]
        if had.memory == "none":
            for result in ("succeeded", "declined"):
                after = s._replace(stripe=put(s.stripe, a, AtStripe(result, result)))
                yield from self._replies(after, i, w, result, f"sends, Stripe executes: {result}", _harm(s, a, result))
        elif had.memory == "500":
            yield from self._replies(s, i, w, "saved", "sends, Stripe replays the saved 500", None)
        else:
            yield from self._replies(s, i, w, had.memory, f"sends, Stripe replays: {had.memory}", None)
        if s.faults:
            yield from self._odd(s._replace(faults=s.faults - 1), i, w)

    def _replies(
        self, s: State, i: int, w: Worker, outcome: Outcome, name: str, harm: str | None
    ) -> Iterator[Move[State]]:
        yield _answer(s, i, w, outcome, name)._replace(broken=harm)
        if s.faults:  # the same bytes again, the second time a look-up (R18): the model lets either happen
            for again in ("send", "look"):
                lost = _answer(
                    s._replace(faults=s.faults - 1), i, w, again, f"{name}; the reply is lost, next: {again}"
                )
                yield lost._replace(works=False, broken=harm)

    def _odd(self, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
        """Answers that say nothing, or only that this request did not run."""
        unexecuted: Outcome = "cleared" if w.first or not self.on("R16") else "send"
        for name, outcome in (
            ("R16 sends: 429 or 401", unexecuted),
            ("R33 sends: a 400 about the request's form", unexecuted if self.on("R33") else "refused"),
            ("R16 sends: 409, in use", "send" if self.on("R16") else "cleared"),
            ("R18 sends: a 500 that Stripe does not save", "look"),
            ("R18 sends: the request is lost", "send"),
        ):
            yield _answer(s, i, w, outcome, name)._replace(works=False)
        if s.stripe[w.attempt].memory == "none":
            after = s._replace(stripe=put(s.stripe, w.attempt, AtStripe("undecided", "500")))
            yield _answer(after, i, w, "look", "R18 sends: a saved 500, Stripe is undecided")._replace(works=False)

    # ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, s: State, i: int, w: Worker) -> Move[State]:
        """One transaction for charge, order, books and outbox row, guarded by the token; success needs none (R21)."""
        a, charge = w.attempt, s.charges[w.attempt]
        idle, name = work(s, i, IDLE), f"{w}: R21 settles {w.outcome}"
        if w.outcome == "succeeded":
            return Move(name, self._success(idle, a), works=True)
        if w.outcome == "earlier":
            return Move(name, self._success(close(idle, 1, "canceled"), 0), works=True)
        if charge is None or charge.status != "open" or not (w.token or not self.on("R21")):
            return Move(f"{w}: R21 is fenced off", idle, works=True)
        if w.outcome in ("declined", "never", "refused"):
            failed = "failed" if s.order == "processing" else s.order
            harm = "an order fails by a refusal that is not its own" if w.outcome == "refused" else None
            return Move(name, close(idle, a, "declined")._replace(order=failed), works=True, broken=harm)
        return Move(name, idle._replace(charges=put(s.charges, a, self._undecided(charge, w))), works=True)

    def _undecided(self, charge: Charge, w: Worker) -> Charge:
        if w.outcome == "cleared":
            return Charge()
        if w.outcome == "unsent":  # from here on its age is known (R17)
            return Charge(first=0)
        if not self.on("R13") and w.call == "send":
            charge = charge._replace(maybe=True, first=max(charge.first, 0), last=0)
        call: Call = "send" if w.outcome == "send" else "look"
        return charge._replace(call=call, saved=charge.saved or w.outcome == "saved")

    def _success(self, s: State, a: int) -> State:
        """Stripe's success outranks every state (R23); a second one is booked as a duplicate."""
        charge, other = s.charges[a], s.charges[1 - a]
        final = (charge and charge.status != "open") or s.order in ("failed", "canceled")
        if (charge and charge.status in ("succeeded", "duplicate")) or (final and not self.on("R23")):
            return s
        second = other is not None and other.status == "succeeded"
        return close(s, a, "duplicate" if second else "succeeded")._replace(order="paid")

    # ── everybody else ────────────────────────────────────────────────────────────────────────────────────────────

    def _people(self, s: State) -> Iterator[Move[State]]:
        if s.order == "pending":
            yield Move("R12 the producer cancels", s._replace(order="canceled"))
        if s.order == "failed" and s.charges[0] and not s.charges[1] and not s.outbox[1] and self.pays_again:
            again = s._replace(order="processing", promise=0, outbox=put(s.outbox, 1, True), backup=False)
            yield Move("R25 the producer pays again", again)
        for a in (0, 1):
            if s.stripe[a].intent == "declined":
                after = s._replace(stripe=put(s.stripe, a, s.stripe[a]._replace(intent="succeeded")))
                name = f"the customer pays attempt {a + 1}'s PaymentIntent with another card"
                yield Move(name, after, broken=_harm(s, a, "succeeded", sent=False))
        undecided = s.stripe[0].intent == "undecided"
        if s.backup and s.charges[0] and not undecided:
            yield Move("a backup from before the charge is restored", restored(s))

    def _stripe_decides(self, s: State) -> Iterator[Move[State]]:
        for a in (0, 1):
            if s.stripe[a].intent == "undecided":
                for intent in ("succeeded", "none"):
                    after = s._replace(stripe=put(s.stripe, a, s.stripe[a]._replace(intent=intent)))
                    name = f"Stripe decides about the 500 of attempt {a + 1}: {intent}"
                    yield Move(name, after, works=intent == "none", broken=_harm(s, a, intent, sent=False))

    def _proof_from_elsewhere(self, s: State) -> Iterator[Move[State]]:
        """A webhook at any time, reconciliation at the latest: Stripe's success, from any source (R21, R23)."""
        for a in (0, 1):
            if s.stripe[a].intent == "succeeded" and (after := self._success(s, a)) != s:
                name = f"R23 attempt {a + 1}'s success is shown by Stripe and settled"
                yield Move(name, after, works=self.is_final(s))

    def _tick(self, s: State) -> State:
        """Time passes: some seven hours. Whoever has opened and not yet sent is now beyond its deadline."""
        return s._replace(
            promise=min(s.promise + 1, POST),
            charges=tuple(c and older(c) for c in s.charges),
            stripe=tuple(fades(t) for t in s.stripe),
            workers=tuple(w._replace(late=w.doing == "opened" and w.call == "send") for w in s.workers),
        )

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────

    def canonical(self, s: State) -> State:
        """One state for all that can only behave alike."""
        return canonical(s, spent=self.forgets_what_is_spent)

    def is_final(self, s: State) -> bool:
        """Whether the order is final and nothing of ours is under way."""
        return s.order in ("paid", "failed", "canceled") and not any(s.outbox) and all(w == IDLE for w in s.workers)

    def broken_promise(self, s: State) -> str | None:
        """What is wrong with this state, in one sentence; None when nothing is."""
        successes = [t.intent == "succeeded" for t in s.stripe]
        if s.order == "paid" and not any(successes):
            return "the order is paid, and nothing was charged"
        if self.is_final(s) and not any(self._proof_from_elsewhere(s)):
            booked = [c is not None and c.status in ("succeeded", "duplicate") for c in s.charges]
            if booked != successes or (s.order == "paid") != any(successes):
                return f"all is quiet, the order is {s.order}, and the books are not what Stripe charged"
        return None


def _harm(s: State, a: int, result: str, *, sent: bool = True) -> str | None:
    """The promise that Stripe's executing this would break."""
    if result == "succeeded" and any(t.intent == "succeeded" for t in s.stripe):
        return "a second successful charge of one order"
    if result == "succeeded" and sent and s.order == "canceled":
        return "a canceled order is charged"
    return None


def _answer(s: State, i: int, w: Worker, outcome: Outcome, name: str) -> Move[State]:
    answered = Worker("answered", w.attempt, token=w.token, call=w.call, outcome=outcome)
    return Move(f"{w}: {name}", work(s, i, answered), works=True)
