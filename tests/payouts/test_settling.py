"""What Stripe shows of payouts is followed, in any order, twice and late, and ends the same."""

import asyncio
from itertools import permutations
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import payouts
from service.states import PAYOUT_STATUSES, PAYOUT_TRANSITIONS
from service.stripe_gateway.objects import BalanceTransaction
from tests.meta.stripe_names import fields
from tests.payouts.bodies import DAY, MADE, MOVEMENT, PAYOUT, payout
from tests.payouts.conftest import balances, journal, said, stored
from tests.reconcile.records import default_account
from tests.web.afterwards import rows

BANK, TRANSIT = "assets:bank", "assets:payouts_in_transit"


def test_the_bodies_of_these_tests_have_the_fields_of_the_sdk() -> None:
    assert PAYOUT.keys() == fields("Payout").keys() - {"OBJECT_NAME"}
    assert MOVEMENT.keys() == fields("BalanceTransaction").keys() - {"OBJECT_NAME"}


def test_the_states_are_those_of_the_sdk_and_each_comes_to_an_end() -> None:
    assert PAYOUT_TRANSITIONS.keys() == set(PAYOUT_STATUSES)
    for status in PAYOUT_STATUSES:
        seen, ahead = {status}, set(PAYOUT_TRANSITIONS[status])
        while ahead:
            seen |= ahead
            ahead = {follower for one in ahead for follower in PAYOUT_TRANSITIONS[one]} - seen
        assert status not in {f for s in seen for f in PAYOUT_TRANSITIONS[s]}, "it never comes back to a state"


async def test_a_payout_is_followed_from_its_making_to_the_bank(engine: AsyncEngine) -> None:
    for status in ("pending", "in_transit", "paid"):
        assert await payouts.settle(engine, [payout(status)]) == {"po_1"}
        assert (await stored(engine))["status"] == status
    traced = payout("paid", trace_id={"status": "supported", "value": "0210-000 7"}, reconciliation_status="completed")
    assert await payouts.settle(engine, [traced]) == set(), "its state is the same"
    row = await stored(engine)
    assert (row["trace_id"], row["reconciliation_status"]) == ("0210-000 7", "completed")
    assert [entry["status"] for entry in row["history"]] == ["pending", "in_transit", "paid"]
    assert await journal(engine) == ["payout_arrived:po_1"]
    assert await balances(engine) == {BANK: 1411, TRANSIT: -1411}
    (entry,) = await rows(engine, "SELECT occurred_at FROM journal_entries")
    assert entry["occurred_at"].timestamp() == MADE + 2 * DAY, "an arrival is dated by its day"


async def test_the_same_objects_twice_change_nothing(engine: AsyncEngine) -> None:
    await payouts.settle(engine, [payout("paid"), payout("paid", id="po_2")])
    before = await rows(engine, "SELECT xmin::text, * FROM payouts ORDER BY id"), await journal(engine)
    assert await payouts.settle(engine, [payout("paid"), payout("paid", id="po_2")]) == set()
    assert (await rows(engine, "SELECT xmin::text, * FROM payouts ORDER BY id"), await journal(engine)) == before


async def test_whatever_order_they_are_read_in_the_end_is_the_same(engine: AsyncEngine) -> None:
    """What an earlier read says, and comes late, is passed over; doubled, too."""
    orders = list(permutations(("pending", "in_transit", "paid", "failed")))
    for turn in range(5):
        shown = [payout(order[turn % 4], id=f"po_{n}") for n, order in enumerate(orders)]
        await payouts.settle(engine, [*shown, *shown])
    for n in range(len(orders)):
        row = await stored(engine, f"po_{n}")
        assert (row["status"], row["failure"]["code"]) == ("failed", "account_closed")
        assert row["failure_transaction_id"] == f"txn_back_po_{n}"
    assert await balances(engine) == {}, "nothing of them is at the bank"


async def test_of_two_who_read_it_at_once_the_later_word_counts(engine: AsyncEngine) -> None:
    for n in range(8):
        both = [payout("paid", id=f"po_{n}"), payout("failed", id=f"po_{n}")]
        await asyncio.gather(*(payouts.settle(engine, [one]) for one in both))
        assert (await stored(engine, f"po_{n}"))["status"] == "failed"
    assert await balances(engine) == {}


async def test_a_failure_after_paid_takes_the_arrival_back(engine: AsyncEngine) -> None:
    await payouts.settle(engine, [payout("paid")])
    await payouts.settle(engine, [payout("failed", failure_balance_transaction=None)])
    assert await balances(engine) == {BANK: 1411, TRANSIT: -1411}, "its money is not back in the balance yet"
    assert await payouts.settle(engine, [payout("failed")]) == set()
    assert await journal(engine) == ["payout_arrived:po_1", "payout_returned:po_1"]
    assert await balances(engine) == {}
    dated = await rows(engine, "SELECT occurred_at FROM journal_entries WHERE reference LIKE 'payout_returned:%'")
    assert dated[0]["occurred_at"].timestamp() == MADE + 5 * DAY, "and at the moment at which the money came back"


@pytest.mark.parametrize("ends", ["failed", "canceled"])
async def test_one_that_never_was_paid_books_nothing_of_the_bank(engine: AsyncEngine, ends: str) -> None:
    await payouts.settle(engine, [payout("in_transit"), payout(ends, id="po_2")])
    await payouts.settle(engine, [payout(ends)])
    assert await journal(engine) == []
    assert (await stored(engine))["status"] == (await stored(engine, "po_2"))["status"] == ends


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "reversed"}, "its status reversed is none that we know"),
        ({"status": "on its way"}, "its status is no word of Stripe's"),
        ({"amount": 2**53}, "its amount is beyond any sum of money"),
        ({"currency": "u\0d"}, "its currency is no word of Stripe's"),
    ],
)
async def test_what_cannot_be_stored_is_left_out_loudly_and_its_neighbours_are_followed(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], why: str
) -> None:
    changed = {"status": "paid", **changes}
    await payouts.settle(engine, [payout(**changed), payout("paid", id="po_2")])
    assert [row["id"] for row in await rows(engine, "SELECT id FROM payouts")] == ["po_2"]
    assert said(caplog) == [("payout.left_out", {"payout": "po_1", "reason": why})]


async def test_words_that_decide_nothing_may_be_any(engine: AsyncEngine) -> None:
    odd = payout(
        "failed", method="by_pigeon", reconciliation_status="half_done", failure_code="a_new_code",
        failure_message="a \0 in it", trace_id={"status": "lost", "value": "\x07"},
    )  # fmt: skip
    await payouts.settle(engine, [odd])
    row = await stored(engine)
    assert (row["method"], row["reconciliation_status"], row["trace_id"]) == ("by_pigeon", "half_done", None)
    assert row["failure"] == {"code": "a_new_code", "message": "a  in it"}


async def test_a_payout_whose_sum_has_changed_is_left_as_it_is(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await payouts.settle(engine, [payout("in_transit")])
    for changed in (payout("paid", amount=1412), payout("paid", currency="eur")):
        await payouts.settle(engine, [changed])
    row = await stored(engine)
    assert (row["status"], row["amount_minor"], row["currency"]) == ("in_transit", 1411, "usd")
    assert {str(fields["reason"]) for _, fields in said(caplog)} == {"its sum is not the one that it was"}
    assert await journal(engine) == []


@pytest.mark.parametrize("left", [None, "txn_po_1", "of another sum", "in another currency"])
async def test_an_arrival_is_booked_when_what_left_the_balance_is_shown(engine: AsyncEngine, left: str | None) -> None:
    shown = payout("paid")
    movement = shown.balance_transaction
    assert isinstance(movement, BalanceTransaction)
    other: dict[str | None, Any] = {
        "of another sum": _with(movement, amount=-1400),
        "in another currency": _with(movement, currency="eur"),
    }
    await payouts.settle(engine, [_with(shown, balance_transaction=other.get(left, left))])
    assert (await stored(engine))["status"] == "paid"
    assert await journal(engine) == []
    await payouts.settle(engine, [shown])
    assert await journal(engine) == ["payout_arrived:po_1"], "a repeat that shows it books what is not booked"


def _with(shown: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(shown, **changes)


async def test_the_day_of_a_booked_arrival_stays(engine: AsyncEngine) -> None:
    await payouts.settle(engine, [payout("in_transit")])
    await payouts.settle(engine, [payout("in_transit", arrival_date=MADE + 3 * DAY)])
    assert str((await stored(engine))["arrival_date"]) == "2026-11-28"
    await payouts.settle(engine, [payout("paid", arrival_date=MADE + 3 * DAY)])
    await payouts.settle(engine, [payout("paid", arrival_date=MADE + 4 * DAY)])
    assert str((await stored(engine))["arrival_date"]) == "2026-11-28"
    assert await journal(engine) == ["payout_arrived:po_1"]


async def test_hundreds_are_settled_in_pages(engine: AsyncEngine) -> None:
    shown = [payout("paid", id=f"po_{n}") for n in range(230)]
    assert len(await payouts.settle(engine, shown)) == 230
    assert len(await journal(engine)) == 230


async def test_producers_are_told_once_of_what_arrived_and_of_what_did_not(engine: AsyncEngine) -> None:
    account = await default_account(engine)
    await rows(
        engine,
        """INSERT INTO webhook_endpoints (id, account_id, idempotency_key, fingerprint, url, events)
           VALUES (gen_random_uuid(), :account, 'k', '', 'https://example.com/', '{payout.paid,payout.failed}')""",
        account=account,
    )
    for status in ("in_transit", "paid", "paid", "failed", "failed", "paid"):
        await payouts.settle(engine, [payout(status), payout("canceled", id="po_2")])
    owed = await rows(engine, "SELECT type, object_id, order_id, body::jsonb AS body FROM notices ORDER BY id")
    assert [(notice["type"], notice["object_id"], notice["order_id"]) for notice in owed] == [
        ("payout.paid", "po_1", None), ("payout.failed", "po_1", None),
    ]  # fmt: skip
    assert [notice["body"]["data"]["status"] for notice in owed] == ["paid", "failed"]
    assert owed[1]["body"]["data"]["failure"]["code"] == "account_closed"
