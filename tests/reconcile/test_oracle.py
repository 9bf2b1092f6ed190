"""Random days with planted discrepancies: the SQL finds what was planted, and what a second implementation finds.

Each example has a window of its own, so all of them share one database; that no window sees another's is checked by it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.reconcile import Span, reconcile
from service.states import CHARGE_STATUSES, ORDER_STATUSES, REFUND_STATUSES
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent
from tests.reconcile.conftest import NOW, RULES
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.oracle import compare_streams
from tests.reconcile.plants import PLANTS, Plant, duplicate_given_back, given_back, goes_back, good
from tests.reconcile.records import default_account, write
from tests.reconcile.refund_oracle import Found
from tests.reconcile.refund_stories import give_back, made_refund
from tests.reconcile.settled_stories import give_back_elsewhere, given_back_elsewhere
from tests.reconcile.world import Story, declined, held, intent, names, unknown, waiting

pytestmark = pytest.mark.slow

GRACE_S = 600
INTENT_STATUSES = (
    "succeeded", "processing", "requires_action", "requires_confirmation", "requires_payment_method", "canceled",
    "requires_capture",
)  # fmt: skip
_windows = count(1)

EVENTS = st.lists(
    st.tuples(st.sampled_from(PLANTS), st.integers(1, 7_000), st.integers(60, 10_000_000)), min_size=1, max_size=14
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_the_sql_finds_exactly_what_was_planted(database: str, events: list[tuple[Plant, int, int]]) -> None:
    now = NOW - timedelta(days=10 * next(_windows))

    planted: list[str] = []
    by_sql, by_oracle = _both(database, now, lambda account: _plant_all(account, events, now, planted))
    assert by_sql == by_oracle
    assert sorted(found.name for found in by_sql) == sorted(planted)


def _plant_all(
    account: UUID, events: list[tuple[Plant, int, int]], now: datetime, planted: list[str]
) -> tuple[list[Story], list[Intent]]:
    stories, intents = list[Story](), list[Intent]()
    for plant, age_s, amount in events:
        story, foreign, name = plant(account, now - timedelta(seconds=age_s), amount)
        stories += [story] if story else []
        intents += foreign
        if name:
            # A "!" marks a fact: it is a discrepancy at any age.
            planted.append("in_flight" if age_s < GRACE_S and not name.endswith("!") else name.rstrip("!"))
    return stories, intents


BREAKS = (
    "order", "charge", "intent", "id", "amount", "currency", "drop", "entry", "fee", "again", "parked", "returned",
    "refund", "refund id", "refund parked", "refund gone", "refund amount", "refund status", "refund drawn",
    "refund fee", "refund again",
)  # fmt: skip
RETURNS: list[dict[str, Any]] = [{"amount_refunded": 5}, {"refunded": True}, {"disputed": True}]
BASES: tuple[Callable[[UUID, datetime, int], Story], ...] = (
    good,
    declined,
    unknown,
    waiting,
    held,
    given_back,
    duplicate_given_back,
    given_back_elsewhere,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_sql_judges_whatever_happened_as_the_second_implementation_does(database: str, data: st.DataObject) -> None:
    now = NOW - timedelta(days=10 * next(_windows))

    def wreck(account: UUID) -> tuple[list[Story], list[Intent]]:
        stories = []
        for _ in range(data.draw(st.integers(1, 8))):
            at = now - timedelta(seconds=data.draw(st.sampled_from([5, GRACE_S + 5, 100_000])))
            story = data.draw(st.sampled_from(BASES))(account, at, data.draw(st.integers(60, 9_999)))
            for name in data.draw(st.lists(st.sampled_from(BREAKS), max_size=4)):
                _break(story, name, at, data)
            stories.append(story)
        return stories, []

    by_sql, by_oracle = _both(database, now, wreck)
    assert by_sql == by_oracle


def _break(story: Story, name: str, at: datetime, data: st.DataObject) -> None:
    """One thing gone wrong, whether or not anything could make it so."""
    if name == "order":
        story.order.status = data.draw(st.sampled_from(ORDER_STATUSES))
    elif name == "parked":
        story.parked = "poison"
    elif name.startswith("refund"):
        _break_refund(story, name, at, data)
    elif name == "again":
        attempt = data.draw(st.integers(1, 2))
        story.intents.append(intent(at, story.order.amount, metadata=names(story.order, attempt)))
    elif name == "entry":
        del story.entries[data.draw(st.integers(0, 1)) :]
    elif name in ("charge", "id") and story.charges:
        charge = story.charge
        charge.pi = None if name == "id" else charge.pi
        if charge.status != "duplicate":  # nothing follows it, and an order has one success
            charge.status = data.draw(st.sampled_from(CHARGE_STATUSES))
    elif story.intents:
        _break_intent(story, name, data)


def _break_refund(story: Story, name: str, at: datetime, data: st.DataObject) -> None:
    if name == "refund again" and story.intents and isinstance(story.intent.latest_charge, Charge):
        status = data.draw(st.sampled_from(["succeeded", "pending", "failed"]))
        is_ours = data.draw(st.booleans())
        if story.charges and is_ours:
            (give_back_elsewhere if story.charge.settled else give_back)(story, at, 7, status=status)
        else:
            made_refund(story, at, 7, status=status)
    elif name in ("refund", "refund id", "refund parked", "refund drawn") and story.refunds:
        row = story.refund
        row.status = data.draw(st.sampled_from(REFUND_STATUSES)) if name == "refund" else row.status
        row.re = None if name == "refund id" else row.re
        row.parked = "poison" if name == "refund parked" else row.parked
        row.drawn = 1 if name == "refund drawn" else row.drawn
    elif story.refunded:
        _break_refund_at_stripe(story, name, data)


def _break_refund_at_stripe(story: Story, name: str, data: st.DataObject) -> None:
    txn = story.refunded[-1].balance_transaction
    if name == "refund gone":
        story.refunded.pop()
    elif name == "refund amount":
        story.refund_at_stripe(amount=story.refunded[-1].amount + 1)
    elif name == "refund status":
        story.refund_at_stripe(status=data.draw(st.sampled_from([*REFUND_STATUSES, "requires_action"])))
    elif name == "refund fee" and isinstance(txn, BalanceTransaction):
        story.refund_at_stripe(balance_transaction=replace(txn, fee=3, net=txn.amount - 3))


def _break_intent(story: Story, name: str, data: st.DataObject) -> None:
    if name == "drop":
        story.intents.pop()
    elif name == "currency":
        story.at_stripe(currency="eur")
    elif name == "amount":
        story.at_stripe(amount_received=story.intent.amount_received + 1)
    elif name == "intent":
        story.at_stripe(status=data.draw(st.sampled_from(INTENT_STATUSES)))
    elif name == "returned" and isinstance(story.intent.latest_charge, Charge):
        goes_back(story, **data.draw(st.sampled_from(RETURNS)))
    elif name == "fee" and _has_fee(story):
        story.fee_at_stripe(fee=data.draw(st.integers(0, 3)))


def _has_fee(story: Story) -> bool:
    charge = story.intent.latest_charge
    return isinstance(charge, Charge) and isinstance(charge.balance_transaction, BalanceTransaction)


def _both(
    database: str, now: datetime, tell: Callable[[UUID], tuple[list[Story], list[Intent]]]
) -> tuple[list[Found], list[Found]]:
    """What the SQL finds, and what the oracle finds, each sorted."""

    async def run() -> tuple[list[Found], list[Found]]:
        engine = create_engine(Settings(database_url=database), name="test")
        try:
            stories, foreign = tell(await default_account(engine))
            written = await write(engine, stories)
            intents, refunds = [*foreign, *written.intents.values()], [*written.refunds.values()]
            by_sql = await _by_sql(engine, FakeStripe(intents, refunds), now)
        finally:
            await engine.dispose()
        return by_sql, compare_streams(stories, intents, refunds, now - timedelta(seconds=GRACE_S))

    return asyncio.run(run())


async def _by_sql(engine: AsyncEngine, stripe: FakeStripe, now: datetime) -> list[Found]:
    # A named window judges its own: what other examples left open is not examined again.
    window = Span(now - timedelta(hours=48), now + timedelta(seconds=1))
    async with reconcile(engine, stripe, window, grace_s=GRACE_S, rules=RULES, now=now) as report:
        return sorted(
            [
                Found(d.name, d.payment_intent or "", str(d.order_id or ""), d.refund or "")
                async for d in report.discrepancies()
            ]
        )
