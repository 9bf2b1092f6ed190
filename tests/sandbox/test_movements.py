"""What else moves Stripe's balance: balance transactions of any type, of which no event tells."""

from typing import Any

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox.test_disputes import net

# Type, the category that Stripe puts it into, and an amount with its fee.
MOVES = {
    "stripe_fee": ("fee", -300, 0),
    "tax_fee": ("tax", -21, 0),
    "reserve_hold": ("risk_reserved_funds", -1000, 0),
    "reserve_release": ("risk_reserved_funds", 1000, 0),
    "adjustment": ("other_adjustment", 250, 10),
    "something_new": ("something_new", -7, 2),
}


def move(shop: Shop, kind: str, amount: int, **more: Any) -> Any:
    return shop.sandbox.control(
        "POST", "balance_transactions", {"type": kind, "amount": amount, "currency": "usd"} | more
    )


async def read(shop: Shop, entry: Any) -> Any:
    return await shop.api.v1.balance_transactions.retrieve_async(entry["id"], {"expand": ["source"]})


@pytest.mark.parametrize("kind", MOVES)
async def test_a_movement_of_any_type_moves_the_balance(emptied_shop: Shop, kind: str) -> None:
    category, amount, fee = MOVES[kind]
    moved = await read(emptied_shop, move(emptied_shop, kind, amount, fee=fee, description="a word"))
    assert (moved.type, moved.reporting_category, moved.amount, moved.fee) == (kind, category, amount, fee)
    assert (moved.net, moved.description, moved.source, moved.status) == (amount - fee, "a word", None, "available")
    assert sum(detail.amount for detail in moved.fee_details) == fee
    assert await net(emptied_shop) == amount - fee
    assert emptied_shop.sandbox.truth()["balance"]["usd"]["by_type"][kind] == amount - fee
    listed = (await emptied_shop.api.v1.balance_transactions.list_async({"type": kind, "limit": 1})).data
    assert [entry.id for entry in listed] == [moved.id]
    assert (await emptied_shop.api.v1.events.list_async({"created": {"gte": moved.created}})).data == []


async def test_a_category_may_be_any_word(emptied_shop: Shop) -> None:
    moved = await read(emptied_shop, move(emptied_shop, "adjustment", 5, reporting_category="never_seen"))
    assert (moved.type, moved.reporting_category) == ("adjustment", "never_seen")


async def test_a_charge_that_failed_later_is_a_movement_of_it(emptied_shop: Shop) -> None:
    charge = (await emptied_shop.sell("pm_card_bypassPending")).intent.latest_charge
    emptied_shop.sandbox.control("POST", "fees/flush")
    moved = await read(emptied_shop, move(emptied_shop, "payment_failure_refund", -1999, source=charge))
    assert (moved.reporting_category, moved.source.object, moved.source.id) == ("charge_failure", "charge", charge)
    assert await net(emptied_shop) == -88


async def test_money_that_is_available_later_is_pending_until_then(emptied_shop: Shop) -> None:
    moved = move(emptied_shop, "adjustment", 400, available_in_s=3600)
    assert (moved["status"], moved["available_on"] - moved["created"]) == ("pending", 3600)
    assert emptied_shop.sandbox.control("POST", "payouts")["payouts"] == []
    emptied_shop.sandbox.control("POST", "age", {"seconds": 3600})
    assert (await read(emptied_shop, moved)).status == "available"
    assert [payout["amount"] for payout in emptied_shop.sandbox.control("POST", "payouts")["payouts"]] == [400]


async def test_another_balance_of_stripes_is_neither_shown_nor_paid_out(emptied_shop: Shop) -> None:
    move(emptied_shop, "reserve_hold", -400)
    held = await read(emptied_shop, move(emptied_shop, "reserve_hold", 400, balance_type="risk_reserved"))
    assert held.balance_type == "risk_reserved"
    assert await net(emptied_shop) == -400
    assert [payout["amount"] for payout in emptied_shop.sandbox.control("POST", "payouts")["payouts"]] == [-400]


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "xxx"},
        {"type": ""},
        {"available_in_s": -1},
        {"source": "ch_nobody"},
        {"source": "fee_1"},
        {"balance_type": "hidden"},
    ],
)
async def test_a_wrong_movement_is_refused(emptied_shop: Shop, wrong: dict[str, Any]) -> None:
    with pytest.raises(OSError, match="400"):
        move(emptied_shop, "adjustment", 1, **wrong)
    assert await net(emptied_shop) == 0
