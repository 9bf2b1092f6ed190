"""The life of an order on the real statements: Hypothesis chooses what goes wrong, PostgreSQL does what it does.

Every example is one order, moved by claims, deliveries, odd answers, deaths, days and people, and in the end driven to
rest. What is wrong is shrunk to the shortest history, printed as a program that repeats it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from service import outbox
from service.changes import OpenChange
from service.changes.answers import judge_retrieve as judge_change
from service.charges.answers import judge_intent, judge_retrieve
from service.charges.lookup import judge_lookup, windows
from service.charges.model import OpenCharge
from service.effects.answers import abandoned, judge_send
from service.effects.model import Effect, Outcome, Rules, Settlement
from service.effects.opening import open_effects
from service.states import CHARGE_ENDED_UNPAID, CHARGE_TRANSITIONS, ORDER_FINAL, ORDER_TRANSITIONS
from service.stripe_gateway.objects import Answer
from tests.charges.wishes import ask_cancel, ask_capture, ask_pay
from tests.charges.world import EFFECTS, OLDER_HISTORY, TIMES, Books, Promise
from tests.model.tiny_stripe import ODD, RESULTS, TinyStripe
from tests.operators import OPERATOR
from workers.effects import KINDS, kind_of

T = TypeVar("T")
# What needs a database that forgets, or a human at Stripe who pays twice: a canceled PaymentIntent cannot succeed, and
# before another attempt is sent the one before is canceled.
ORDERS_NOT_YET = {("canceled", "paid")}
CHARGES_NOT_YET = {(old, "duplicate") for old in CHARGE_TRANSITIONS} | {("canceled", "succeeded")}
ROUNDS = 40  # more deliveries than any order needs to come to rest
ATTEMPTS = 3  # a producer gives up

odd_or_not = st.one_of(st.none(), st.none(), st.sampled_from(ODD))
results = st.sampled_from(RESULTS)
hours = st.sampled_from([0.1, 5.0, 20.5, 25.0])
some = st.integers(0, 7)


@dataclass
class Held:
    """What a worker has in hand: a charge or a change it opened, and perhaps its answer."""

    effect: Effect
    at_h: float
    settlement: Settlement[Effect] | None = None


class OrderMachine(RuleBasedStateMachine):
    """One order, what is promised of it, its charges and their changes, with everybody who acts on them."""

    books: ClassVar[Books]
    runner: ClassVar[asyncio.Runner]
    seen: ClassVar[Counter[tuple[str, str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.stripe = TinyStripe()
        self.broker: list[UUID] = []
        self.held: list[Held] = []
        self.latest: OpenCharge | None = None
        self.clock_h = 0.0
        self.broken = False
        self.order: str | None = None
        self.charges: dict[int, str] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(manual=st.booleans())
    def place(self, *, manual: bool = False) -> None:
        self.promise: Promise = self.do(self.books.order(capture="manual" if manual else "automatic"))
        self.order = "pending"

    def rows(self) -> list[UUID]:
        """The outbox rows of the order, the charges' first."""
        found = self.do(
            self.books.all("SELECT id FROM outbox WHERE order_id = :id ORDER BY kind DESC", id=self.promise.order_id)
        )
        return [row["id"] for row in found]

    # ── relay and broker ──────────────────────────────────────────────────────────────────────────────────────────

    @rule()
    def claim(self) -> None:
        claimed = self.do(outbox.claim(self.books.engine, self.books.settings, republish_max=10))
        self.broker += set(claimed.ids) & set(self.rows())

    @precondition(lambda self: self.broker)
    @rule()
    def wipe_the_broker(self) -> None:
        self.broker.clear()

    @precondition(lambda self: self.broker)
    @rule()
    def the_breaker_is_open(self) -> None:
        self.do(outbox.put_back(self.books.engine, self.broker, after_s=0.0, reason="breaker open"))
        self.broker.clear()

    @precondition(lambda self: self.broker)
    @rule(again=st.booleans())
    def deliver(self, *, again: bool) -> None:
        self.open([self.broker[-1] if again else self.broker.pop()])

    @rule()
    def a_message_comes_from_nowhere(self) -> None:
        self.open([*self.rows(), self.promise.outbox_id, *self.rows()])

    def open(self, ids: list[UUID]) -> None:
        # Before its time a message changes nothing: here its time has always come.
        self.do(self.books.run(_DUE, id=self.promise.order_id))
        first = self.do(open_effects(self.books.engine, ids, self.books.settings, KINDS))
        alone = [self.do(open_effects(self.books.engine, [i], self.books.settings, KINDS)) for i in first.suspects]
        opened = [effect for message in (first, *alone) for effect in message.effects]
        assert len({e.id for e in opened}) == len(opened) <= 2, "one effect is opened by one worker at a time"
        for effect in opened:
            if isinstance(effect, OpenCharge):
                self.latest = effect
            self.held.append(Held(effect, self.clock_h))

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.waiting())
    @rule(which=some, result=results, odd=odd_or_not)
    def call(self, which: int, result: str, odd: str | None) -> None:
        waiting = self.waiting()
        self.ask(waiting[which % len(waiting)], result, odd)

    @precondition(lambda self: self.answered())
    @rule(which=some)
    def settle(self, which: int) -> None:
        answered = self.answered()
        self.record(answered[which % len(answered)])

    def waiting(self) -> list[Held]:
        return [h for h in self.held if h.settlement is None]

    def answered(self) -> list[Held]:
        return [h for h in self.held if h.settlement]

    @rule(result=results, odd=odd_or_not, dies=st.booleans())
    def work(self, result: str, odd: str | None, *, dies: bool = False) -> None:
        """A delivery of each row from beginning to end, or to the death of its worker after the call."""
        self.do(self.books.leases_end())
        already = len(self.held)
        self.open(self.rows())
        self.promises_hold()
        for held in self.held[already:]:
            self.ask(held, result, odd)
            if dies:
                self.held.remove(held)
            else:
                self.record(held)

    @rule(result=results, odd=odd_or_not, passed=hours)
    def an_outage_begins_with_a_death(self, result: str, odd: str | None, passed: float) -> None:
        """What chance alone puts together too rarely: called, never settled, and met again much later."""
        self.work(result, None, dies=True)
        self.promises_hold()
        self.time_passes(passed)
        self.work("succeeded", odd)

    @precondition(lambda self: self.held)
    @rule(which=some)
    def die(self, which: int) -> None:
        del self.held[which % len(self.held)]

    @precondition(lambda self: self.held)
    @rule()
    def leases_end(self) -> None:
        self.do(self.books.leases_end())

    def ask(self, held: Held, result: str, odd: str | None) -> None:
        effect = held.effect
        if self.clock_h > held.at_h and effect.call != "lookup":  # R14: it slept beyond its deadline
            held.settlement = Settlement(effect, abandoned(effect))
        elif isinstance(effect, OpenCharge):
            held.settlement = self.ask_for_charge(effect, result, odd)
        elif isinstance(effect, OpenChange):
            held.settlement = self.ask_for_change(effect, odd)

    def ask_for_charge(self, charge: OpenCharge, result: str, odd: str | None) -> Settlement[Effect]:
        if charge.call == "lookup":
            return Settlement(charge, self.look_up(charge, Rules.of(self.books.settings), complete=odd is None))
        if charge.call == "retrieve" and charge.payment_intent_id:
            answer = self.get(charge.payment_intent_id, odd)
            return Settlement(charge, judge_retrieve(charge, answer), answer)
        answer = self.stripe.post(charge.request, charge.idempotency_key, now=time.time(), result=result, odd=odd)
        return Settlement(charge, judge_send(kind_of(charge), charge, answer), answer)

    def ask_for_change(self, change: OpenChange, odd: str | None) -> Settlement[Effect]:
        payment = change.payment_intent_id
        if change.call == "retrieve":
            answer = self.get(payment, odd)
            return Settlement(change, judge_change(change, answer), answer)
        answer = self.stripe.change_of(
            payment, change.kind, change.idempotency_key, amount=change.request.get("amount_to_capture"), odd=odd
        )
        return Settlement(change, judge_send(kind_of(change), change, answer), answer)

    def get(self, payment: str, odd: str | None) -> Answer:
        return Answer(http_status=None, note="lost") if odd else self.stripe.get(payment)

    def look_up(self, charge: OpenCharge, rules: Rules, *, complete: bool) -> Outcome:
        wanted = windows([charge], rules)
        intents = [p.seen() for p in self.stripe.payments if any(w.gte <= p.created < w.lt for w in wanted)]
        return judge_lookup(charge, [i for i in intents if charge.matches(i)], complete=complete, rules=rules)

    def record(self, held: Held) -> None:
        assert held.settlement is not None
        self.do(self.books.settle(held.effect, held.settlement.outcome, answer=held.settlement.answer))
        self.held.remove(held)

    # ── everybody else ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(passed=hours)
    def time_passes(self, passed: float) -> None:
        self.clock_h += passed
        self.stripe.time_passes(passed)
        self.do(self.older(passed * 3600))

    async def older(self, seconds: float) -> None:
        for table, columns in TIMES.items():
            if table in ("lives", "instance", "operations", "sweeps"):
                continue  # they are everybody's, or never change
            key = "id" if table == "orders" else "order_id"
            changed = ", ".join(f"{c} = {c} - make_interval(secs => :by)" for c in columns)
            await self.books.run(
                f"UPDATE {table} SET {changed} WHERE {key} = :order", by=seconds, order=self.promise.order_id
            )
        for table in EFFECTS:
            history = f"{OLDER_HISTORY.format(table=table)} WHERE order_id = :order"
            await self.books.run(history, by=seconds, order=self.promise.order_id)

    @precondition(lambda self: self.order in ("pending", "requires_action", "authorized"))
    @rule()
    def the_producer_cancels(self) -> None:
        """Only what was not opened is canceled at once, under the order's lock."""
        if self.order == "pending":
            cancel = "UPDATE orders SET status = 'canceled' WHERE id = :id AND status = 'pending'"
            self.do(self.books.run(cancel, id=self.promise.order_id))
        elif not self.changes_now():
            self.do(ask_cancel(self.books, self.promise))

    @precondition(lambda self: self.order == "authorized")
    @rule(amount=st.sampled_from([1, 1200, 1999]))
    def the_producer_captures(self, amount: int = 1999) -> None:
        if not self.changes_now():
            self.do(ask_capture(self.books, self.promise, amount))

    @precondition(lambda self: self.order == "failed" and len(self.charges) < ATTEMPTS)
    @rule()
    def the_producer_pays_again(self) -> None:
        """What was never executed is the same attempt again, whose charge is declined until then."""
        if self.charges[max(self.charges)] not in CHARGE_ENDED_UNPAID or self.changes_now():
            return
        self.do(ask_pay(self.books, self.promise))
        self.charges = self.do(self.charges_now())

    def changes_now(self) -> bool:
        """Whether a change of its payment is under way."""
        open_ones = "SELECT id FROM changes WHERE order_id = :id AND status IN ('pending', 'sending')"
        return bool(self.do(self.books.all(open_ones, id=self.promise.order_id)))

    async def charges_now(self) -> dict[int, str]:
        rows = await self.books.all(
            "SELECT attempt, status FROM charges WHERE order_id = :id ORDER BY attempt", id=self.promise.order_id
        )
        return {row["attempt"]: row["status"] for row in rows}

    @precondition(lambda self: self.stripe.payments)
    @rule(
        change=st.sampled_from([
            ("requires_action", "succeeded"), ("requires_action", "processing"), ("requires_action", "canceled"),
            ("requires_action", "requires_payment_method"), ("processing", "succeeded"), ("processing", "canceled"),
            ("processing", "requires_payment_method"), ("processing", "requires_action"),
            ("requires_payment_method", "succeeded"), ("requires_payment_method", "canceled"),
            ("requires_action", "requires_capture"), ("processing", "requires_capture"),
            ("requires_capture", "succeeded"), ("requires_capture", "canceled"),
            ("requires_capture", "requires_payment_method"),
        ])
    )  # fmt: skip
    def a_payment_moves_on(self, change: tuple[str, str]) -> None:
        self.stripe.change(*change)

    @precondition(lambda self: self.stripe.successes() and self.latest)
    @rule()
    def stripe_tells_of_a_success(self) -> None:
        """A webhook, or reconciliation: proof from any source, without a token (R21, R23)."""
        assert self.latest is not None
        intent = self.stripe.successes()[0].seen()
        answer = Answer(http_status=200, intent=intent)
        self.do(self.books.settle(self.latest, judge_intent(self.latest, intent, answer), answer=answer))

    @precondition(lambda self: self.latest)
    @rule()
    def the_operator_retries_what_is_parked(self) -> None:
        self.do(outbox.retry(self.books.engine, self.rows(), who=OPERATOR))

    def step(self, words: str) -> None:
        """One step of a written history."""
        name, _, what = words.partition(":")
        if name == "work":
            result, _, odd = what.rstrip("!").partition("/")
            self.work(result or "succeeded", odd or None, dies=what.endswith("!"))
        elif name == "payment":
            assert self.stripe.change(*what.split(">"))
        elif name == "capture":
            self.the_producer_captures(int(what or 1999))
        elif name == "days":
            self.time_passes(float(what))
        else:
            {
                "cancel": self.the_producer_cancels,
                "pay": self.the_producer_pays_again,
                "told": self.stripe_tells_of_a_success,
            }[name]()

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def promises_hold(self) -> None:
        with self.noticed():
            self.do(self.check())

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """A broken promise ends the example; it need not come to rest any more."""
        try:
            yield
        except BaseException:
            self.broken = True
            raise

    async def check(self) -> None:
        now = await self.books.one(_NOW, id=self.promise.order_id)
        order, charges = now["order_status"], await self.charges_now()
        self.note(order, charges)
        assert list(charges) == list(range(1, len(charges) + 1))
        assert len(self.stripe.successes()) <= 1, "charged twice"
        paid = [attempt for attempt, charge in charges.items() if charge == "succeeded"]
        assert (order == "paid") == (len(paid) == 1) == (now["entries"] == 1)
        assert order != "paid" or self.stripe.successes(), "paid, and nothing was charged"
        assert order in ORDER_FINAL or now["promises"] >= 1, "nobody will ever come back to this order"
        assert order != "canceled" or not charges or charges[max(charges)] == "canceled"
        assert now["tokens"] == now["leases"]
        assert now["open_changes"] <= 1, "captured and canceled at once"

    def note(self, order: str, charges: dict[int, str]) -> None:
        """Remember which transitions happened. A charge may stay; an order that stays says nothing."""
        if self.order and self.order != order:
            assert order in ORDER_TRANSITIONS[self.order], f"order: {self.order} → {order}"
            self.seen["order", self.order, order] += 1
        for attempt, was in self.charges.items():
            if was != (now := charges[attempt]):
                assert now in CHARGE_TRANSITIONS[was], f"charge: {was} → {now}"
                self.seen["charge", was, now] += 1
        self.order, self.charges = order, charges

    def teardown(self) -> None:
        """Faults are over: whatever happened, the order comes to rest, and the books say what Stripe charged."""
        if self.broken or not hasattr(self, "promise"):
            return
        for _ in range(ROUNDS):
            self.the_operator_retries_what_is_parked()  # five deaths make a poison, also here
            self.work("succeeded", None)
            self.promises_hold()
            if not self.rows():
                break
            if not any(self.stripe.change(*end) for end in _ENDS):
                self.time_passes(5.0)
        assert not self.rows(), "it never comes to rest"
        if self.latest and self.stripe.successes():
            self.stripe_tells_of_a_success()
        self.promises_hold()
        order = self.do(self.books.one("SELECT * FROM orders WHERE id = :id", id=self.promise.order_id))
        assert order["status"] in ORDER_FINAL
        taken = [payment.intent.amount_received for payment in self.stripe.successes()]
        shown = [order["amount_captured_minor"] or order["amount_minor"]] if order["status"] == "paid" else []
        assert taken == shown, "the books are not what Stripe charged"


# How what waits for somebody ends, faults or not.
_ENDS = (("requires_action", "succeeded"), ("processing", "succeeded"), ("requires_capture", "canceled"))
_DUE = "UPDATE outbox SET deliver_after = now() WHERE published = 0 AND order_id = :id"
_NOW = """
SELECT o.status AS order_status, count(e.token) AS tokens, count(e.lease_until) AS leases,
       count(*) FILTER (WHERE e.status IN ('pending', 'sending') AND e.is_change) AS open_changes,
       (SELECT count(*) FROM outbox x WHERE x.order_id = o.id) AS promises,
       (SELECT count(*) FROM journal_entries j WHERE j.order_id = o.id) AS entries
  FROM orders o
  LEFT JOIN (SELECT order_id, status, token, lease_until, false AS is_change FROM charges
              UNION ALL SELECT order_id, status, token, lease_until, true FROM changes) AS e ON e.order_id = o.id
 WHERE o.id = :id GROUP BY o.id
"""


def wanted() -> set[tuple[str, str, str]]:
    """Every transition of both tables that can occur today."""
    orders = {(o, n) for o, ns in ORDER_TRANSITIONS.items() for n in ns} - ORDERS_NOT_YET
    charges = {(o, n) for o, ns in CHARGE_TRANSITIONS.items() for n in ns if n != o} - CHARGES_NOT_YET
    return {("order", *pair) for pair in orders} | {("charge", *pair) for pair in charges}
