"""Payouts: made by the day or by hand, ended in every way, and what each is made of."""

from typing import Any

import pytest
from stripe import InvalidRequestError

from sandbox.payouting import MAY_BECOME
from tests.sandbox.client import failure
from tests.sandbox.shop import HOUR_S, Shop
from tests.sandbox.test_disputes import net

DAY_S = 24 * HOUR_S
NET = 1999 - 88
AT_ONCE = "pm_card_bypassPending"


async def sold(shop: Shop, card: str = AT_ONCE, **params: Any) -> Shop:
    """A sale that can be paid out now."""
    await shop.sell(card, **params)
    shop.sandbox.control("POST", "fees/flush")
    return shop


def paid_out(shop: Shop) -> list[Any]:
    """The day's payouts."""
    payouts: list[Any] = shop.sandbox.control("POST", "payouts")["payouts"]
    return payouts


def step(shop: Shop, payout: Any, status: str, **how: Any) -> Any:
    return shop.sandbox.control("POST", f"payouts/{payout['id']}/end", {"status": status} | how)


def reconciled(shop: Shop, payout: Any) -> Any:
    return shop.sandbox.control("POST", f"payouts/{payout['id']}/reconcile")


async def by_hand(shop: Shop, amount: int = 500, **params: Any) -> Any:
    return await shop.api.v1.payouts.create_async({"amount": amount, "currency": "usd"} | params)


async def read(shop: Shop, payout: Any) -> Any:
    expand = ["balance_transaction", "failure_balance_transaction"]
    return await shop.api.v1.payouts.retrieve_async(payout["id"], {"expand": expand})


async def inside(shop: Shop, payout: Any) -> list[Any]:
    """What Stripe lists of a payout, oldest first."""
    page = await shop.api.v1.balance_transactions.list_async({"payout": payout["id"], "limit": 100})
    return list(reversed(page.data))


async def available(shop: Shop) -> dict[str, int]:
    shown = (await shop.api.v1.balance.retrieve_async()).available
    return {entry.currency: entry.amount for entry in shown if entry.amount}


def truth_of(shop: Shop, payout: Any) -> Any:
    """What the witness says of one payout."""
    return next(one for one in shop.sandbox.truth()["payouts"] if one["id"] == payout["id"])


# -- automatic --------------------------------------------------------------------------------------------------------


async def test_the_days_payout_takes_what_is_available_and_its_list_adds_up_to_zero(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    refunded = await emptied_shop.refund(amount=500)
    await sold(emptied_shop, "pm_card_visa")
    (payout,) = paid_out(emptied_shop)
    assert (payout["amount"], payout["currency"], payout["automatic"]) == (NET - 500, "usd", True)
    assert (payout["status"], payout["reconciliation_status"]) == ("pending", "in_progress")
    assert payout["arrival_date"] % DAY_S == 0
    assert DAY_S < payout["arrival_date"] - payout["created"] <= 2 * DAY_S
    assert (await available(emptied_shop), await net(emptied_shop)) == ({}, NET)

    assert await inside(emptied_shop, payout) == []
    reconciled(emptied_shop, payout)
    entries = await inside(emptied_shop, payout)
    assert [(entry.type, entry.reporting_category, entry.net) for entry in entries] == [
        ("charge", "charge", NET),
        ("refund", "refund", -500),
        ("payout", "payout", 500 - NET),
    ]
    assert sum(entry.net for entry in entries) == 0
    assert (entries[1].source, entries[2].source) == (refunded.id, payout["id"])
    assert (entries[2].id, entries[2].description) == (payout["balance_transaction"], "STRIPE PAYOUT")
    assert await emptied_shop.told(payout["id"]) == ["payout.created", "payout.reconciliation_completed"]
    with pytest.raises(OSError, match="400"):
        reconciled(emptied_shop, payout)


async def test_nothing_is_paid_out_twice_and_nothing_is_left_behind(emptied_shop: Shop) -> None:
    await sold(emptied_shop, "pm_card_visa")
    assert paid_out(emptied_shop) == []
    emptied_shop.sandbox.control("POST", "age", {"seconds": 2 * DAY_S})
    (first,) = paid_out(emptied_shop)
    assert (first["amount"], paid_out(emptied_shop)) == (NET, [])
    await sold(emptied_shop)
    (second,) = paid_out(emptied_shop)
    for payout in (first, second):
        reconciled(emptied_shop, payout)
        assert [entry.net for entry in await inside(emptied_shop, payout)] == [NET, -NET]
    assert await net(emptied_shop) == 0


async def test_each_currency_is_paid_out_by_itself(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    await sold(emptied_shop, currency="eur")
    assert [(payout["currency"], payout["amount"]) for payout in paid_out(emptied_shop)] == [("eur", NET), ("usd", NET)]
    assert await available(emptied_shop) == {}


async def test_a_balance_below_zero_is_taken_from_the_bank(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    paid_out(emptied_shop)
    await emptied_shop.refund()
    (payout,) = paid_out(emptied_shop)
    whole = await read(emptied_shop, payout)
    assert (whole.amount, whole.balance_transaction.amount, whole.balance_transaction.type) == (-1999, 1999, "payout")
    reconciled(emptied_shop, payout)
    assert [entry.net for entry in await inside(emptied_shop, payout)] == [-1999, 1999]
    assert await net(emptied_shop) == 0
    failed = step(emptied_shop, payout, "failed", failure_code="insufficient_funds")
    assert (failed["status"], await net(emptied_shop)) == ("failed", -1999)


async def test_what_came_back_is_in_the_next_payout(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    (first,) = paid_out(emptied_shop)
    step(emptied_shop, first, "paid")
    step(emptied_shop, first, "failed")
    (second,) = paid_out(emptied_shop)
    for payout in (first, second):
        reconciled(emptied_shop, payout)
    assert [entry.type for entry in await inside(emptied_shop, first)] == ["charge", "payout"]
    entries = await inside(emptied_shop, second)
    assert [(entry.type, entry.net, entry.source) for entry in entries] == [
        ("payout_failure", NET, first["id"]),
        ("payout", -NET, second["id"]),
    ]


# -- by hand ----------------------------------------------------------------------------------------------------------


async def test_a_payout_by_hand_takes_an_amount_that_nobody_itemizes(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    payout = await by_hand(emptied_shop, description="rent", statement_descriptor="SHOP", metadata={"k": "v"})
    assert (payout.automatic, payout.reconciliation_status, payout.amount) == (False, "not_applicable", 500)
    assert (payout.description, payout.statement_descriptor, payout.metadata.to_dict()) == ("rent", "SHOP", {"k": "v"})
    assert await available(emptied_shop) == {"usd": NET - 500}
    refused = await failure(inside(emptied_shop, payout), InvalidRequestError)
    assert refused.user_message == (
        "Balance transaction history can only be filtered on automatic transfers, not manual."
    )
    assert (await failure(inside(emptied_shop, {"id": "po_nobody"}), InvalidRequestError)).code == "resource_missing"
    with pytest.raises(OSError, match="400"):
        reconciled(emptied_shop, payout)
    (rest,) = paid_out(emptied_shop)
    reconciled(emptied_shop, rest)
    assert [entry.net for entry in await inside(emptied_shop, rest)] == [NET, -500, 500 - NET]


async def test_no_more_is_paid_out_than_is_available(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    await sold(emptied_shop, "pm_card_visa")
    refused = await failure(by_hand(emptied_shop, NET + 1), InvalidRequestError)
    assert (refused.http_status, refused.code) == (400, "balance_insufficient")
    assert (await failure(by_hand(emptied_shop, 1, currency="eur"), InvalidRequestError)).code == "balance_insufficient"
    assert truth_of(emptied_shop, await by_hand(emptied_shop, NET))["amount"] == NET
    assert (await failure(by_hand(emptied_shop, 1), InvalidRequestError)).code == "balance_insufficient"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"currency": "xxx"}, "currency"),
        ({"statement_descriptor": "X" * 23}, "statement_descriptor"),
        ({"destination": "ba_nobody"}, "destination"),
        ({"payout_method": "fin_1"}, "payout_method"),
        ({"method": "instant"}, "method"),
        ({"source_type": "fpx"}, "source_type"),
    ],
)
async def test_a_wrong_payout_is_refused(emptied_shop: Shop, params: dict[str, Any], param: str) -> None:
    refused = await failure(by_hand(emptied_shop, **params), InvalidRequestError)
    assert (refused.http_status, refused.param) == (400, param)


async def test_a_payout_by_hand_is_canceled_while_it_is_pending(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    payout = await by_hand(emptied_shop)
    canceled = await emptied_shop.api.v1.payouts.cancel_async(payout.id, {"expand": ["failure_balance_transaction"]})
    back = canceled.failure_balance_transaction
    assert (canceled.status, canceled.trace_id.status) == ("canceled", "unsupported")
    assert (back.type, back.reporting_category, back.net) == ("payout_cancel", "payout_reversal", 500)
    assert back.description == "REFUND FOR PAYOUT (STRIPE PAYOUT)"
    assert await emptied_shop.told(payout.id) == ["payout.created", "payout.updated", "payout.canceled"]
    assert await available(emptied_shop) == {"usd": NET}
    for refused in (payout, await by_hand(emptied_shop)):
        if refused is not payout:
            step(emptied_shop, refused, "in_transit")
        error = await failure(emptied_shop.api.v1.payouts.cancel_async(refused.id), InvalidRequestError)
        assert error.user_message == "Payouts can only be canceled while they are pending."
    (automatic,) = paid_out(emptied_shop)
    assert await failure(emptied_shop.api.v1.payouts.cancel_async(automatic["id"]), InvalidRequestError)


async def test_only_metadata_can_be_updated(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    payout = await by_hand(emptied_shop, metadata={"a": "1"})
    update = emptied_shop.api.v1.payouts.update_async
    assert (await update(payout.id, {"metadata": {"a": "", "b": "2"}})).metadata.to_dict() == {"b": "2"}
    assert (await update(payout.id, {})).metadata.to_dict() == {"b": "2"}
    assert await emptied_shop.told(payout.id) == ["payout.created", "payout.updated"]


async def test_a_payout_is_not_reversed_here_and_that_is_said(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    refused = await failure(
        emptied_shop.api.v1.payouts.reverse_async((await by_hand(emptied_shop)).id), InvalidRequestError
    )
    assert refused.http_status == 404
    assert refused.user_message.startswith("The sandbox does not do")


# -- ended ------------------------------------------------------------------------------------------------------------


async def test_every_step_is_made_or_refused_and_the_money_is_where_the_payout_says(emptied_shop: Shop) -> None:
    for path in ([], ["in_transit"], ["paid"], ["in_transit", "paid"], ["failed"], ["paid", "failed"], ["canceled"]):
        for last in ("in_transit", "paid", "failed", "canceled"):
            await sold(emptied_shop)
            (payout,) = paid_out(emptied_shop)
            for status in path:
                payout = step(emptied_shop, payout, status)
            if last in MAY_BECOME[payout["status"]]:
                payout = step(emptied_shop, payout, last)
            else:
                with pytest.raises(OSError, match="400"):
                    step(emptied_shop, payout, last)
            back = payout["amount"] if payout["status"] in ("failed", "canceled") else 0
            assert (payout["failure_balance_transaction"] is not None) is (back != 0)
            assert (payout["failure_code"] is not None) is (payout["status"] == "failed")
            assert await net(emptied_shop) == back, (path, last)
            stays = {"id": payout["id"], "status": payout["status"], "amount": payout["amount"], "currency": "usd"}
            assert truth_of(emptied_shop, payout) == stays


async def test_a_payout_may_fail_days_after_it_was_paid(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    (payout,) = paid_out(emptied_shop)
    paid = step(emptied_shop, payout, "paid", trace="pending")
    assert paid["trace_id"] == {"status": "pending", "value": None}
    emptied_shop.sandbox.control("POST", "age", {"seconds": 4 * DAY_S})
    failed = step(emptied_shop, payout, "failed", failure_code="account_closed")
    assert (failed["failure_code"], failed["failure_message"]) == (
        "account_closed",
        "The bank account has been closed.",
    )
    whole = await read(emptied_shop, payout)
    back, taken = whole.failure_balance_transaction, whole.balance_transaction
    assert (back.type, back.reporting_category, back.net) == ("payout_failure", "payout_reversal", NET)
    assert back.created - taken.created == 4 * DAY_S
    assert whole.created == payout["created"] - 4 * DAY_S
    assert whole.arrival_date == payout["arrival_date"] - 4 * DAY_S
    told = ["payout.updated", "payout.paid", "payout.reconciliation_completed", "payout.updated", "payout.failed"]
    assert await emptied_shop.told(payout["id"]) == ["payout.created", *told]
    assert truth_of(emptied_shop, payout)["status"] == "failed"


async def test_a_payout_goes_its_way_by_itself(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    (payout,) = paid_out(emptied_shop)
    emptied_shop.sandbox.control("POST", "clock", {"advance_s": HOUR_S + 1})
    sent = await read(emptied_shop, payout)
    assert (sent.status, sent.reconciliation_status, sent.trace_id.status) == ("in_transit", "completed", "pending")
    emptied_shop.sandbox.control("POST", "clock", {"advance_s": 2 * DAY_S})
    arrived = await read(emptied_shop, payout)
    assert (arrived.status, arrived.trace_id.status) == ("paid", "supported")
    assert arrived.trace_id.value
    assert await emptied_shop.told(payout["id"]) == [
        "payout.created",
        "payout.updated",
        "payout.reconciliation_completed",
        "payout.updated",
        "payout.paid",
    ]


async def test_what_ended_by_hand_does_not_go_on_by_itself(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    (payout,) = paid_out(emptied_shop)
    step(emptied_shop, payout, "failed")
    emptied_shop.sandbox.control("POST", "payouts/flush")
    failed = await read(emptied_shop, payout)
    assert (failed.status, failed.trace_id.status, failed.reconciliation_status) == (
        "failed",
        "unsupported",
        "completed",
    )
    assert "payout.paid" not in await emptied_shop.told(payout["id"])
    assert "Traceback" not in emptied_shop.sandbox.data.with_suffix(".log").read_text()


async def test_the_bank_may_tell_its_number_later(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    (payout,) = paid_out(emptied_shop)
    step(emptied_shop, payout, "paid", trace="pending")
    emptied_shop.sandbox.control("POST", f"payouts/{payout['id']}/trace", {"status": "supported"})
    trace = (await read(emptied_shop, payout)).trace_id
    assert (trace.status, len(trace.value)) == ("supported", 15)


# -- found ------------------------------------------------------------------------------------------------------------


async def test_payouts_are_found_by_status_moment_and_destination(emptied_shop: Shop) -> None:
    await sold(emptied_shop)
    payouts = [await by_hand(emptied_shop, amount) for amount in (1, 2, 3)]
    step(emptied_shop, payouts[1], "paid")
    listing = emptied_shop.api.v1.payouts.list_async

    async def found(**params: Any) -> list[int]:
        since = {"created": {"gte": payouts[0].created}}
        return [payout.amount for payout in (await listing(since | params)).data]

    assert await found() == [3, 2, 1]
    assert (await found(status="paid"), await found(status="pending")) == ([2], [3, 1])
    arrival = payouts[0].arrival_date
    assert await found(arrival_date=arrival) == [3, 2, 1]
    assert (await found(arrival_date={"gt": arrival}), await found(created={"gt": payouts[2].created})) == ([], [])
    assert (await found(destination=payouts[0].destination), await found(destination="ba_1")) == ([3, 2, 1], [])
    first = await listing({"limit": 2})
    assert first.has_more
    assert await found(limit=2, starting_after=first.data[-1].id) == [1]
    refused = await failure(emptied_shop.api.v1.payouts.retrieve_async("po_nobody"), InvalidRequestError)
    assert (refused.http_status, refused.param) == (404, "payout")
