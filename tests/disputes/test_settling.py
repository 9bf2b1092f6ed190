"""A dispute follows Stripe's object as it is now: once, twice, late, out of order, from any state to any state."""

import asyncio
import re
from datetime import UTC, datetime
from itertools import permutations, product
from typing import Any

import msgspec
import pytest
import stripe

from service import disputes
from service.disputes import Seen
from service.states import DISPUTE_DECIDED, DISPUTE_HOLDS_MONEY, DISPUTE_OPEN, DISPUTE_STATUSES
from service.stripe_gateway.disputes import Dispute
from tests.charges.world import World
from tests.disputes.arguing import (
    dispute,
    dispute_json,
    disputed,
    movement,
    now,
    paid,
    row,
    said,
    settle,
    warning,
    words,
)
from tests.meta.stripe_names import fields


def test_our_words_are_those_of_the_sdk() -> None:
    assert set(re.findall(r"'(\w+)'", fields("Dispute")["status"])) == set(DISPUTE_STATUSES)
    assert DISPUTE_OPEN | DISPUTE_DECIDED | {"warning_needs_response", "warning_under_review"} == set(DISPUTE_STATUSES)


def test_what_the_sdk_reads_of_a_dispute_we_read_as_well() -> None:
    said = dispute_json("pi_1", evidence_details={"due_by": None, "has_evidence": False})
    theirs = stripe.Dispute.construct_from(said, key=None)
    ours = msgspec.json.decode(msgspec.json.encode(said), type=Dispute)
    assert (ours.id, ours.status, ours.payment_intent) == (theirs.id, theirs.status, theirs.payment_intent)
    assert (ours.due_by, ours.moved_at, ours.flaw) == (theirs.evidence_details.due_by, None, None)


async def test_a_dispute_is_stored_with_all_that_is_shown_of_it(world: World) -> None:
    promise, intent = await paid(world)
    shown = dispute(intent, amount=1500)
    assert await settle(world, shown) == {shown.id}
    stored = await row(world, shown)
    assert (stored["status"], stored["reason"], stored["amount_minor"]) == ("needs_response", "fraudulent", 1500)
    assert (stored["account_id"], stored["order_id"]) == (promise.account_id, promise.order_id)
    assert stored["charge_id"] == (await world.charge(promise))["id"]
    assert stored["evidence_due_by"] == datetime.fromtimestamp(1_900_000_000, UTC)
    assert await disputed(world, promise) == 1500
    assert await world.status(promise) == "paid"


async def test_settled_twice_nothing_changes(world: World) -> None:
    _, intent = await paid(world)
    shown = dispute(intent)
    await settle(world, shown, shown)
    before = await row(world, shown)
    await asyncio.gather(*(settle(world, shown) for _ in range(5)))
    assert await row(world, shown) == before
    assert await words(world, shown) == ["needs_response"]


async def test_any_state_may_follow_any_other_and_the_history_keeps_each(world: World) -> None:
    promise, intent = await paid(world)
    shown = dispute(intent)
    seen: list[str] = []
    for status in (word for pair in permutations(DISPUTE_STATUSES, 2) for word in pair):
        await settle(world, now(shown, status))
        seen += [] if seen[-1:] == [status] else [status]
        assert (await row(world, shown))["status"] == status
        assert await disputed(world, promise) == (1999 if status in DISPUTE_HOLDS_MONEY else 0)
    assert await words(world, shown) == seen


async def test_an_order_counts_all_that_its_disputes_hold_or_took(world: World) -> None:
    promise, intent = await paid(world)
    one, other = dispute(intent, amount=700), dispute(intent, "lost", amount=500)
    await settle(world, one, other, dispute(intent, "warning_needs_response", amount=300))
    assert await disputed(world, promise) == 1200
    await settle(world, now(one, "won"))
    assert await disputed(world, promise) == 500


@pytest.mark.parametrize("odd", [{"amount": 0}, {"currency": "eur", "amount": 5}])
async def test_an_open_dispute_is_never_counted_as_nothing(world: World, odd: dict[str, Any]) -> None:
    promise, intent = await paid(world)
    await settle(world, dispute(intent, **odd))
    assert await disputed(world, promise) == 1999


async def test_a_dispute_of_an_unknown_payment_is_not_stored_and_holds_nobody_up(world: World) -> None:
    promise, intent = await paid(world)
    ours, stranger, of_no_payment = dispute(intent), dispute("pi_of_another_shop"), dispute(None)
    assert await settle(world, stranger, ours, of_no_payment) == {ours.id}
    assert await disputed(world, promise) == 1999
    assert not await world.all("SELECT id FROM disputes WHERE id <> :id", id=ours.id)


async def test_what_was_asked_for_before_the_stored_state_was_learnt_changes_nothing(world: World) -> None:
    """Two readers: the first asked earlier, and stores later."""
    _, intent = await paid(world)
    shown = dispute(intent)
    await settle(world, shown)
    slow = Seen.now(now(shown, "under_review"))
    await settle(world, now(shown, "lost"))
    await disputes.settle(world.engine, [slow])
    assert await words(world, shown) == ["needs_response", "lost"]
    await settle(world, now(shown, "under_review"))
    assert await words(world, shown) == ["needs_response", "lost", "under_review"]


async def test_of_two_sights_in_one_batch_the_later_one_counts(world: World) -> None:
    _, intent = await paid(world)
    shown = dispute(intent)
    early, late = Seen.now(shown), Seen.now(now(shown, "under_review"))
    await disputes.settle(world.engine, [late, early])
    assert await words(world, shown) == ["under_review"]


async def test_a_word_that_we_do_not_know_is_kept_and_said_and_changes_no_state(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    promise, intent = await paid(world)
    known, new = dispute(intent, "won"), dispute(intent, "arbitration_pending", amount=300)
    await settle(world, known)
    await settle(world, now(known, "charge_refunded"), new)
    assert [(await row(world, one))["status"] for one in (known, new)] == ["won", "needs_response"]
    assert (await words(world, known), await words(world, new)) == (["won", "charge_refunded"], ["arbitration_pending"])
    assert await disputed(world, promise) == 300
    await settle(world, now(known, "charge_refunded"), new)  # it is said once
    assert said(caplog, "dispute.unknown_status", "status") == ["charge_refunded", "arbitration_pending"]
    await settle(world, now(new, "lost"))
    assert await disputed(world, promise) == 300


@pytest.mark.parametrize(
    "odd",
    [{"amount": 2**62}, {"amount": -1}, {"status": "no word"}, {"currency": ""}, {"reason": "a\nb"},
     {"balance_transactions": [movement(-1, fee=2**61)]}],
)  # fmt: skip
async def test_what_cannot_be_stored_is_said_and_its_neighbours_are_stored(
    world: World, odd: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    _, intent = await paid(world)
    good, bad = dispute(intent), now(dispute(intent), **odd)
    assert await settle(world, bad, good) == {good.id}
    assert said(caplog, "dispute.unreadable", "dispute") == [bad.id]


async def test_many_disputes_of_few_orders_settled_at_once_do_not_deadlock(world: World) -> None:
    payments = [await paid(world) for _ in range(3)]
    shown = [dispute(intent, amount=10) for _, intent in payments for _ in range(4)]
    states = product(("under_review", "won", "lost", "appeal_under_review"), repeat=3)
    turns = [[now(one, status) for one, status in zip(shown[n::2], word * 4, strict=False)]
             for n, word in enumerate(list(states)[:16])]  # fmt: skip
    await asyncio.gather(*(settle(world, *(reversed(turn) if n % 2 else turn)) for n, turn in enumerate(turns)))
    for promise, intent in payments:
        rows = await world.all(
            "SELECT d.status FROM disputes d JOIN charges c ON c.id = d.charge_id WHERE payment_intent_id = :pi",
            pi=intent,
        )
        assert await disputed(world, promise) == 10 * sum(r["status"] in DISPUTE_HOLDS_MONEY for r in rows)


async def test_the_dispute_of_a_second_success_is_none_of_its_orders_sums(world: World) -> None:
    promise, intent = await paid(world)
    await world.run("UPDATE charges SET status = 'duplicate' WHERE order_id = :id", id=promise.order_id)
    await settle(world, dispute(intent))
    assert await disputed(world, promise) == 0


async def test_a_warning_is_stored_once_and_follows_stripe(world: World) -> None:
    promise, intent = await paid(world)
    shown = warning(intent)
    stranger = warning("pi_of_another_shop")
    assert await disputes.settle_warnings(world.engine, [Seen.now(shown), Seen.now(stranger)]) == {shown.id}
    await disputes.settle_warnings(world.engine, [Seen.now(msgspec.structs.replace(shown, actionable=False))])
    (stored,) = await world.all("SELECT * FROM fraud_warnings")
    assert (stored["id"], stored["order_id"], stored["actionable"]) == (shown.id, promise.order_id, False)
    assert stored["fraud_type"] == "made_with_stolen_card"
    assert await disputed(world, promise) == 0
