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
from service.charges.follow_up import judge_cancel

from service import outbox
from service.charges import CHARGE
from service.charges.answers import judge_intent, judge_retrieve
from service.charges.lookup import judge_lookup, windows
from service.charges.model import OpenCharge
from service.effects.answers import abandoned, judge_send
from service.effects.model import Outcome, Rules, Settlement
from service.effects.opening import open_effects
from service.states import CHARGE_TRANSITIONS, ORDER_FINAL, ORDER_TRANSITIONS
from service.stripe_gateway.objects import Answer
from tests.charges.world import _OLDER_HISTORY, _TIMES, Books, Promise
from tests.model.tiny_stripe import ODD, RESULTS, TinyStripe
from workers.effects import KINDS

T = TypeVar("T")
# What nothing can do yet. Paying again: a failed order that is processed, and a second success of one order. Healing: a
# success of a charge or order that was canceled; a canceled PaymentIntent cannot succeed, only a forgotten one can.
ORDERS_NOT_YET = {("failed", "processing"), ("canceled", "paid")}
CHARGES_NOT_YET = {(old, "duplicate") for old in CHARGE_TRANSITIONS} | {("canceled", "succeeded")}
ROUNDS = 40  # more deliveries than any order needs to come to rest

odd_or_not = st.one_of(st.none(), st.none(), st.sampled_from(ODD))
results = st.sampled_from(RESULTS)
hours = st.sampled_from([0.1, 5.0, 20.5, 25.0])
some = st.integers(0, 7)


@dataclass
class Held:
    """What a worker has in hand: a charge it opened, and perhaps its answer."""

    charge: OpenCharge
    at_h: float
    settlement: Settlement | None = None


class OrderMachine(RuleBasedStateMachine):
    """One order, its outbox row and its charge, with everybody who acts on them."""

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
        self.before: tuple[str | None, str | None] = (None, None)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def place(self) -> None:
        self.promise: Promise = self.do(self.books.order())
        self.before = ("pending", None)

    # ── relay and broker ──────────────────────────────────────────────────────────────────────────────────────────

    @rule()
    def claim(self) -> None:
        claimed = self.do(outbox.claim(self.books.engine, self.books.settings, republish_max=10))
        self.broker += [i for i in claimed.ids if i == self.promise.outbox_id]

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
        self.open([self.promise.outbox_id, self.promise.outbox_id])

    def open(self, ids: list[UUID]) -> None:
        # Before its time a message changes nothing: here its time has always come.
        self.do(self.books.due(self.promise))
        opened = self.do(open_effects(self.books.engine, ids, self.books.settings, KINDS)).effects
        assert len(opened) <= 1, "one attempt is opened by one worker at a time"
        for charge in opened:
            self.latest = charge
            self.held.append(Held(charge, self.clock_h))

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
        """A delivery from beginning to end, or to the death of its worker after the call."""
        self.do(self.books.leases_end())
        self.open([self.promise.outbox_id])
        self.promises_hold()
        if self.held and self.held[-1].settlement is None:
            self.ask(self.held[-1], result, odd)
            if dies:
                self.held.pop()
            else:
                self.record(self.held[-1])

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
        charge, rules = held.charge, Rules.of(self.books.settings)
        if charge.call == "lookup":
            held.settlement = Settlement(charge, self.look_up(charge, rules, complete=odd is None))
        elif self.clock_h > held.at_h:  # R14: it slept beyond its deadline
            held.settlement = Settlement(charge, abandoned(charge))
        elif charge.call == "retrieve" and charge.payment_intent_id:
            answer = Answer(http_status=None, note="lost") if odd else self.stripe.get(charge.payment_intent_id)
            held.settlement = Settlement(charge, judge_retrieve(charge, answer), answer)
        elif charge.call == "cancel" and charge.payment_intent_id:
            answer = self.stripe.cancel(charge.payment_intent_id, charge.cancel_key, odd=odd)
            held.settlement = Settlement(charge, judge_cancel(charge, answer), answer)
        else:
            answer = self.stripe.post(charge.request, charge.idempotency_key, now=time.time(), result=result, odd=odd)
            held.settlement = Settlement(charge, judge_send(CHARGE, charge, answer), answer)

    def look_up(self, charge: OpenCharge, rules: Rules, *, complete: bool) -> Outcome:
        wanted = windows([charge], rules)
        intents = [p.seen() for p in self.stripe.payments if any(w.gte <= p.created < w.lt for w in wanted)]
        return judge_lookup(charge, [i for i in intents if charge.matches(i)], complete=complete, rules=rules)

    def record(self, held: Held) -> None:
        assert held.settlement is not None
        self.do(self.books.settle(held.charge, held.settlement.outcome, answer=held.settlement.answer))
        self.held.remove(held)

    # ── everybody else ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(passed=hours)
    def time_passes(self, passed: float) -> None:
        self.clock_h += passed
        self.stripe.time_passes(passed)
        self.do(self.older(passed * 3600))

    async def older(self, seconds: float) -> None:
        for table, columns in _TIMES.items():
            if table in ("lives", "instance"):
                continue  # they are everybody's
            key = "id" if table == "orders" else "order_id"
            changed = ", ".join(f"{c} = {c} - make_interval(secs => :by)" for c in columns)
            await self.books.run(
                f"UPDATE {table} SET {changed} WHERE {key} = :order", by=seconds, order=self.promise.order_id
            )
        await self.books.run(f"{_OLDER_HISTORY} WHERE order_id = :order", by=seconds, order=self.promise.order_id)

    @precondition(lambda self: self.before[0] == "pending")
    @rule()
    def the_producer_cancels(self) -> None:
        """As the statement of a cancellation will: under the order's lock, and only what was not opened."""
        cancel = "UPDATE orders SET status = 'canceled' WHERE id = :id AND status = 'pending'"
        self.do(self.books.run(cancel, id=self.promise.order_id))

    @precondition(lambda self: self.stripe.payments)
    @rule(
        change=st.sampled_from([
            ("requires_action", "succeeded"), ("requires_action", "processing"), ("requires_action", "canceled"),
            ("requires_action", "requires_payment_method"), ("processing", "succeeded"), ("processing", "canceled"),
            ("processing", "requires_payment_method"), ("processing", "requires_action"),
            ("requires_payment_method", "succeeded"), ("requires_payment_method", "canceled"),
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
        self.do(outbox.retry(self.books.engine, [self.promise.outbox_id]))

    def step(self, words: str) -> None:
        """One step of a written history."""
        name, _, what = words.partition(":")
        if name == "work":
            result, _, odd = what.rstrip("!").partition("/")
            self.work(result or "succeeded", odd or None, dies=what.endswith("!"))
        elif name == "payment":
            assert self.stripe.change(*what.split(">"))
        elif name == "days":
            self.time_passes(float(what))
        else:
            {"cancel": self.the_producer_cancels, "told": self.stripe_tells_of_a_success}[name]()

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
        order, charge = now["order_status"], now["charge_status"]
        self.note(order, charge)
        assert now["charges"] <= 1
        assert len(self.stripe.successes()) <= 1, "charged twice"
        assert (order == "paid") == (charge == "succeeded") == (now["entries"] == 1)
        assert order != "paid" or self.stripe.successes(), "paid, and nothing was charged"
        assert order in ORDER_FINAL or now["promises"] == 1, "nobody will ever come back to this order"
        assert order != "canceled" or charge in (None, "canceled")
        assert now["tokens"] == now["leases"]

    def note(self, order: str, charge: str | None) -> None:
        """Remember which transitions happened. A charge may stay; an order that stays says nothing."""
        order_was, charge_was = self.before
        if order_was and order_was != order:
            assert order in ORDER_TRANSITIONS[order_was], f"order: {order_was} → {order}"
            self.seen["order", order_was, order] += 1
        if charge_was and charge and charge_was != charge:
            assert charge in CHARGE_TRANSITIONS[charge_was], f"charge: {charge_was} → {charge}"
            self.seen["charge", charge_was, charge] += 1
        self.before = (order, charge)

    def teardown(self) -> None:
        """Faults are over: whatever happened, the order comes to rest, and the books say what Stripe charged."""
        if self.broken or not hasattr(self, "promise"):
            return
        for _ in range(ROUNDS):
            self.the_operator_retries_what_is_parked()  # five deaths make a poison, also here
            self.work("succeeded", None)
            self.promises_hold()
            if self.do(self.books.row(self.promise)) is None:
                break
            if not (
                self.stripe.change("requires_action", "succeeded") or self.stripe.change("processing", "succeeded")
            ):
                self.time_passes(5.0)
        assert self.do(self.books.row(self.promise)) is None, "it never comes to rest"
        if self.latest and self.stripe.successes():
            self.stripe_tells_of_a_success()
        self.promises_hold()
        order = self.do(self.books.status(self.promise))
        assert order in ORDER_FINAL
        assert (order == "paid") == bool(self.stripe.successes()), "the books are not what Stripe charged"


_NOW = """
SELECT o.status AS order_status, max(c.status) AS charge_status, count(c.id) AS charges, count(c.token) AS tokens,
       count(c.lease_until) AS leases, (SELECT count(*) FROM outbox x WHERE x.order_id = o.id) AS promises,
       (SELECT count(*) FROM journal_entries j WHERE j.order_id = o.id) AS entries
  FROM orders o LEFT JOIN charges c ON c.order_id = o.id WHERE o.id = :id GROUP BY o.id
"""


def wanted() -> set[tuple[str, str, str]]:
    """Every transition of both tables that can occur today."""
    orders = {(o, n) for o, ns in ORDER_TRANSITIONS.items() for n in ns} - ORDERS_NOT_YET
    charges = {(o, n) for o, ns in CHARGE_TRANSITIONS.items() for n in ns if n != o} - CHARGES_NOT_YET
    return {("order", *pair) for pair in orders} | {("charge", *pair) for pair in charges}
