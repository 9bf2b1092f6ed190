"""Refunds that do not end at once: pending, failing after success, asking the customer, waiting for the balance."""

import pytest
from stripe import InvalidRequestError

from tests.sandbox.client import failure
from tests.sandbox.shop import HOUR_S, Shop

# -- not at once ------------------------------------------------------------------------------------------------------


async def test_a_pending_refund_succeeds_by_itself(own_shop: Shop) -> None:
    await own_shop.sell("pm_card_pendingRefund")
    refund = await own_shop.refund()
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert refund.balance_transaction.startswith("txn_")
    assert own_shop.back() == (0, {}, 0)
    assert (await own_shop.charge()).refunded is True

    own_shop.sandbox.control("POST", "clock", {"advance_s": HOUR_S})
    ended = await own_shop.read(refund)
    assert (ended.status, "pending_reason" in ended) == ("succeeded", False)
    assert ended.balance_transaction == refund.balance_transaction
    assert own_shop.back() == (1, {"usd": 1999}, 0)
    assert await own_shop.told(refund.id) == ["refund.created", "refund.updated"]


async def test_a_refund_fails_after_it_succeeded(own_shop: Shop) -> None:
    await own_shop.sell("pm_card_refundFail")
    refund = await own_shop.refund()
    assert refund.status == "succeeded"
    assert own_shop.back() == (1, {"usd": 1999}, 0)

    own_shop.sandbox.control("POST", "clock", {"advance_s": HOUR_S})
    failed = await own_shop.read(refund)
    back = failed.failure_balance_transaction
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert (back.type, back.reporting_category, back.net, back.source) == (
        "refund_failure",
        "refund_failure",
        1999,
        refund.id,
    )
    assert back.id != failed.balance_transaction == refund.balance_transaction
    assert own_shop.back() == (0, {}, 1)
    charge = await own_shop.charge()
    assert (charge.refunded, charge.amount_refunded) == (False, 0)
    assert await own_shop.told(refund.id) == ["refund.created", "refund.updated", "refund.failed"]
    (updated,) = (await own_shop.api.v1.events.list_async({"type": "refund.updated"})).data
    assert updated.data.previous_attributes.to_dict() == {
        "failure_balance_transaction": None,
        "failure_reason": None,
        "status": "succeeded",
    }


async def test_after_a_failed_refund_another_may_succeed(shop: Shop) -> None:
    await shop.sell("pm_card_refundFail")
    shop.end(await shop.refund(), "failed", "declined")
    again = await shop.refund()
    assert (again.status, again.amount) == ("succeeded", 1999)
    assert shop.back() == (1, {"usd": 1999}, 1)


async def test_what_ends_by_itself_ends_now_on_request(own_shop: Shop) -> None:
    await own_shop.sell("pm_card_pendingRefund")
    refund = await own_shop.refund()
    assert own_shop.sandbox.control("POST", "refunds/flush") == {"ended": 1}
    assert (await own_shop.read(refund)).status == "succeeded"
    assert own_shop.sandbox.control("POST", "refunds/flush") == {"ended": 0}


@pytest.mark.parametrize(("status", "reason"), [("failed", "lost_or_stolen_card"), ("canceled", None)])
async def test_a_pending_refund_may_end_badly(shop: Shop, status: str, reason: str | None) -> None:
    await shop.sell("pm_card_pendingRefund")
    refund = await shop.refund()
    ended = shop.end(refund, status, reason)
    assert (ended["status"], ended["failure_reason"]) == (status, reason or "merchant_request")
    assert (await shop.read(refund)).failure_balance_transaction.net == 1999
    assert shop.back() == (0, {}, 0)
    assert (await shop.told(refund.id))[1:] == ["refund.updated", *(["refund.failed"] if status == "failed" else [])]
    with pytest.raises(OSError, match="400"):
        shop.end(refund, "succeeded")


async def test_a_refund_that_asks_the_customer_can_be_canceled(shop: Shop) -> None:
    await shop.sell("pm_sandbox_refundAsks")
    refund = await shop.refund(amount=1000)
    assert (refund.status, refund.next_action.type) == ("requires_action", "display_details")
    assert refund.balance_transaction is None
    assert (await shop.charge()).amount_refunded == 1000

    canceled = await shop.api.v1.refunds.cancel_async(refund.id)
    assert (canceled.status, "next_action" in canceled) == ("canceled", False)
    assert (await shop.charge()).amount_refunded == 0
    assert shop.back() == (0, {}, 0)
    refused = await failure(shop.api.v1.refunds.cancel_async(refund.id), InvalidRequestError)
    assert "it has a status of canceled" in refused.user_message


async def test_a_refund_the_customer_acted_on_succeeds(shop: Shop) -> None:
    await shop.sell("pm_sandbox_refundAsks")
    refund = await shop.refund()
    assert shop.end(refund, "succeeded")["balance_transaction"].startswith("txn_")
    assert shop.back() == (1, {"usd": 1999}, 0)


# -- a short balance --------------------------------------------------------------------------------------------------


async def test_a_refund_waits_for_the_balance(own_shop: Shop) -> None:
    control = own_shop.sandbox.control
    await own_shop.sell()
    control("POST", "balance", {"currency": "usd", "available": 1000})
    paid, short = await own_shop.refund(amount=600), await own_shop.refund(amount=500)

    assert (paid.status, short.status, short.pending_reason) == ("succeeded", "pending", "insufficient_funds")
    assert short.balance_transaction is None
    assert own_shop.back() == (1, {"usd": 600}, 0)
    refused = await failure(own_shop.refund(amount=1000), InvalidRequestError)
    assert "($8.99)" in refused.user_message

    assert control("POST", "balance", {"currency": "usd", "available": 500})["paid"] == 1
    ended = await own_shop.read(short)
    assert (ended.status, "pending_reason" in ended) == ("succeeded", False)
    assert ended.balance_transaction.startswith("txn_")
    assert own_shop.back() == (2, {"usd": 1100}, 0)
    assert await own_shop.told(short.id) == ["refund.created", "refund.updated"]


async def test_waiting_refunds_are_paid_in_their_order_as_far_as_it_reaches(own_shop: Shop) -> None:
    control = own_shop.sandbox.control
    await own_shop.sell()
    control("POST", "balance", {"currency": "usd", "available": 0})
    waiting = [await own_shop.refund(amount=amount) for amount in (500, 400, 300)]
    assert control("POST", "balance", {"currency": "usd", "available": 800})["paid"] == 1
    assert [(await own_shop.read(refund)).status for refund in waiting] == ["succeeded", "pending", "pending"]
    assert control("POST", "balance", {"currency": "usd", "available": None})["paid"] == 2
    assert own_shop.back() == (3, {"usd": 1200}, 0)


async def test_a_refund_that_waited_in_vain_moved_nothing(own_shop: Shop) -> None:
    await own_shop.sell()
    own_shop.sandbox.control("POST", "balance", {"currency": "usd", "available": 0})
    refund = await own_shop.refund()
    own_shop.end(refund, "canceled")
    ended = await own_shop.read(refund)
    assert (ended.balance_transaction, "failure_balance_transaction" in ended) == (None, False)
    assert own_shop.sandbox.control("POST", "balance", {"currency": "usd", "available": None})["paid"] == 0
    assert own_shop.back() == (0, {}, 0)
