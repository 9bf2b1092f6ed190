"""Refunds: made, refused, pending, canceled, failed, and what the witness counts of them."""

import asyncio
from typing import Any

import pytest
from stripe import InvalidRequestError, StripeError

from tests.sandbox.client import Api, failure, new_key, order
from tests.sandbox.process import SandboxProcess

HOUR_S = 3600


class Shop:
    """One paid order and its refunds."""

    def __init__(self, api: Api, sandbox: SandboxProcess) -> None:
        self.api = api
        self.sandbox = sandbox
        self.order = new_key()
        self.intent: Any = None

    async def sell(self, card: str = "pm_card_visa", **params: Any) -> "Shop":
        self.intent = await self.api.pay(card, metadata=order(self.order), **params)
        return self

    async def refund(self, key: str | None = None, **params: Any) -> Any:
        sent = {"payment_intent": self.intent.id} | params
        return await self.api.v1.refunds.create_async(sent, {"idempotency_key": key or new_key()})

    async def read(self, refund: Any) -> Any:
        return await self.api.v1.refunds.retrieve_async(refund.id, {"expand": ["failure_balance_transaction"]})

    async def charge(self) -> Any:
        return await self.api.v1.charges.retrieve_async(self.intent.latest_charge, {"expand": ["refunds"]})

    async def told(self, *ids: str) -> list[str]:
        events = (await self.api.v1.events.list_async({"limit": 100})).data
        return [event.type for event in reversed(events) if event.data.object["id"] in ids]

    def end(self, refund: Any, status: str, reason: str | None = None) -> Any:
        return self.sandbox.control("POST", f"refunds/{refund.id}/end", {"status": status, "failure_reason": reason})

    def back(self) -> tuple[int, dict[str, int], int]:
        """What the witness has seen go back: how often, how much, and how often that failed."""
        truth = self.sandbox.truth(self.order)
        return truth["refunds"], truth["refunded"], truth["refunds_failed"]


@pytest.fixture
def shop(sandbox: SandboxProcess, sandbox_api: Api) -> Shop:
    return Shop(sandbox_api, sandbox)


@pytest.fixture
def own_shop(own_sandbox: SandboxProcess, own_api: Api) -> Shop:
    return Shop(own_api, own_sandbox)


# -- made -----------------------------------------------------------------------------------------------------------


async def test_a_refund_gives_all_back(shop: Shop) -> None:
    await shop.sell()
    refund = await shop.refund(reason="requested_by_customer", metadata={"eo_refund": "r1"})

    assert (refund.object, refund.status, refund.amount, refund.currency) == ("refund", "succeeded", 1999, "usd")
    assert (refund.payment_intent, refund.charge) == (shop.intent.id, shop.intent.latest_charge)
    assert (refund.reason, refund.metadata.to_dict()) == ("requested_by_customer", {"eo_refund": "r1"})
    charge = await shop.charge()
    assert (charge.refunded, charge.amount_refunded, charge.status) == (True, 1999, "succeeded")
    assert shop.back() == (1, {"usd": 1999}, 0)
    truth = shop.sandbox.truth(shop.order)
    assert (truth["charges"], truth["amounts"], truth["refund_ids"]) == (1, {"usd": 1999}, [refund.id])
    assert await shop.told(refund.id) == ["refund.created"]
    assert (await shop.told(charge.id)).count("charge.refunded") == 1


async def test_refunds_may_be_partial_until_nothing_is_left(shop: Shop) -> None:
    await shop.sell()
    made = [await shop.refund(amount=amount) for amount in (500, 1000)]
    charge = await shop.charge()
    assert (charge.refunded, charge.amount_refunded) == (False, 1500)
    made.append(await shop.refund())

    charge = await shop.charge()
    assert [refund.amount for refund in made] == [500, 1000, 499]
    assert (charge.refunded, charge.amount_refunded) == (True, 1999)
    assert [refund.id for refund in charge.refunds.data] == [refund.id for refund in reversed(made)]
    assert shop.back() == (3, {"usd": 1999}, 0)


async def test_no_more_than_was_captured_is_refunded(shop: Shop) -> None:
    await shop.sell(capture_method="manual")
    await shop.api.intents.capture_async(shop.intent.id, {"amount_to_capture": 1000})
    refused = await failure(shop.refund(amount=1001), InvalidRequestError)
    assert "($10.00)" in refused.user_message
    assert (await shop.refund()).amount == 1000
    assert (await shop.charge()).refunded is True


async def test_a_charge_shows_its_refunds_only_when_asked(shop: Shop) -> None:
    await shop.sell()
    for _ in range(11):
        await shop.refund(amount=1)
    plain = await shop.api.v1.charges.retrieve_async(shop.intent.latest_charge)
    assert "refunds" not in plain
    shown = (await shop.charge()).refunds
    assert (len(shown.data), shown.has_more) == (10, True)


async def test_the_balance_pays_and_keeps_the_fee(own_shop: Shop) -> None:
    await own_shop.sell()
    own_shop.sandbox.control("POST", "fees/flush")
    refund = await own_shop.refund(amount=500, expand=["balance_transaction"])

    moved = refund.balance_transaction
    assert (moved.type, moved.reporting_category, moved.source) == ("refund", "refund", refund.id)
    assert (moved.amount, moved.fee, moved.net) == (-500, 0, -500)
    listed = (await own_shop.api.v1.balance_transactions.list_async()).data
    assert [entry.net for entry in listed] == [-500, 1999 - 88]
    only = (await own_shop.api.v1.balance_transactions.list_async({"type": "refund"})).data
    assert [entry.id for entry in only] == [moved.id]


async def test_metadata_is_all_that_can_be_changed(shop: Shop) -> None:
    await shop.sell()
    refund = await shop.refund(metadata={"a": "1", "b": "2"})
    changed = await shop.api.v1.refunds.update_async(refund.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert (await shop.api.v1.refunds.update_async(refund.id, {"metadata": ""})).metadata.to_dict() == {}
    assert await shop.told(refund.id) == ["refund.created", "refund.updated", "refund.updated"]


# -- found ----------------------------------------------------------------------------------------------------------


async def test_refunds_are_found_by_where_they_come_from(own_shop: Shop) -> None:
    await own_shop.sell()
    mine = [(await own_shop.refund(amount=100)).id for _ in range(3)]
    first = own_shop.intent
    await own_shop.sell()
    other = await own_shop.refund()

    listing = own_shop.api.v1.refunds.list_async
    for name, value in (("payment_intent", first.id), ("charge", first.latest_charge)):
        assert [refund.id for refund in (await listing({name: value})).data] == mine[::-1]
    assert [refund.id for refund in (await listing({"created": {"gte": other.created}, "limit": 1})).data] == [other.id]
    page = await listing({"limit": 2})
    rest = await listing({"limit": 2, "starting_after": page.data[-1].id})
    assert [refund.id for refund in (*page.data, *rest.data)] == [other.id, *mine[::-1]]
    back = await listing({"limit": 1, "ending_before": rest.data[0].id})
    assert [refund.id for refund in back.data] == [page.data[-1].id]


# -- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "asked", "left"),
    [
        ("usd", "$20.00", "$19.99"),
        ("eur", "€20.00", "€19.99"),
        ("jpy", "¥2000", "¥1999"),
        ("kwd", "KWD2.000", "KWD1.990"),
    ],
)
async def test_more_than_is_left_is_refused(shop: Shop, currency: str, asked: str, left: str) -> None:
    await shop.sell(currency=currency, amount=1990 if currency == "kwd" else 1999)
    refused = await failure(shop.refund(amount=2000), InvalidRequestError)
    assert (refused.http_status, refused.code, refused.param) == (400, None, "amount")
    assert refused.user_message == f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})"
    assert shop.back() == (0, {}, 0)


async def test_what_was_given_back_is_not_given_back_again_and_that_is_saved(shop: Shop) -> None:
    await shop.sell()
    refund, key = await shop.refund(), new_key()
    for replayed in (None, "true"):
        refused = await failure(shop.refund(key), InvalidRequestError)
        assert (refused.http_status, refused.code) == (400, "charge_already_refunded")
        assert refused.user_message == f"Charge {refund.charge} has already been refunded."
        assert refused.headers.get("idempotent-replayed") == replayed
    assert shop.back() == (1, {"usd": 1999}, 0)


@pytest.mark.parametrize("capture_method", ["manual", None])
async def test_what_was_not_taken_cannot_be_refunded(shop: Shop, capture_method: str | None) -> None:
    shop.intent = await (shop.api.pay(capture_method="manual") if capture_method else shop.api.create())
    refused = await failure(shop.refund(), InvalidRequestError)
    assert refused.http_status == 400
    assert refused.user_message == (
        f"This PaymentIntent ({shop.intent.id}) does not have a successful charge to refund."
    )


async def test_a_refund_names_what_it_refunds(shop: Shop) -> None:
    await shop.sell()
    other = (await shop.api.pay()).id
    for params, param, code in (
        ({}, "charge", "parameter_missing"),
        ({"charge": "ch_nobody"}, "charge", "resource_missing"),
        ({"payment_intent": "pi_nobody"}, "payment_intent", "resource_missing"),
        ({"charge": shop.intent.latest_charge, "payment_intent": other}, "payment_intent", None),
        ({"payment_intent": shop.intent.id, "amount": 0}, "amount", "parameter_invalid_integer"),
        ({"payment_intent": shop.intent.id, "reason": "expired_uncaptured_charge"}, "reason", None),
    ):
        refused = await failure(shop.api.v1.refunds.create_async(params), InvalidRequestError)
        assert (refused.http_status, refused.param, refused.code) == (400, param, code), params
    assert (await failure(shop.api.v1.refunds.retrieve_async("re_nobody"), InvalidRequestError)).http_status == 404
    assert shop.back() == (0, {}, 0)
    by_both = {"charge": shop.intent.latest_charge, "payment_intent": shop.intent.id}
    assert (await shop.api.v1.refunds.create_async(by_both)).status == "succeeded"


# -- once -----------------------------------------------------------------------------------------------------------


async def test_same_key_twice_refunds_once(shop: Shop) -> None:
    await shop.sell()
    key = new_key()
    first, again = await shop.refund(key, amount=500), await shop.refund(key, amount=500)
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert shop.back() == (1, {"usd": 500}, 0)


async def test_many_refunds_at_once_give_back_no_more_than_was_taken(shop: Shop) -> None:
    await shop.sell()
    answers = await asyncio.gather(*(shop.refund(amount=1200) for _ in range(6)), return_exceptions=True)
    assert [isinstance(answer, StripeError) for answer in answers].count(False) == 1
    assert shop.back() == (1, {"usd": 1200}, 0)


@pytest.mark.parametrize("fault", ["executed_reply_lost", "executed_500", "error_500_roll_forward", "cut_body"])
@pytest.mark.parametrize("by_its_own_order", [True, False])
async def test_a_lost_answer_to_a_refund_gave_the_money_back(shop: Shop, fault: str, *, by_its_own_order: bool) -> None:
    await shop.sell()
    shop.sandbox.faults({"fault": fault, "path": "/refunds$", "metadata_order": shop.order, "delay_s": 0, "times": 1})
    metadata = {"eo_order": shop.order} if by_its_own_order else {"a": "b"}
    await failure(shop.refund(metadata=metadata), Exception)
    assert shop.sandbox.fired() == [1]
    assert shop.back() == (1, {"usd": 1999}, 0)
    (found,) = (await shop.api.v1.refunds.list_async({"payment_intent": shop.intent.id})).data
    assert found.metadata.to_dict() == metadata


@pytest.mark.parametrize("path", ["/refunds/re_[^/]*$", "/refunds/[^/]*/cancel$"])
async def test_a_rule_finds_the_order_of_a_refund_by_its_id(shop: Shop, path: str) -> None:
    await shop.sell("pm_sandbox_refundAsks")
    refund = await shop.refund()
    shop.sandbox.faults({"fault": "executed_500", "method": "POST", "path": path, "metadata_order": shop.order})
    refunds = shop.api.v1.refunds
    work = (
        refunds.cancel_async(refund.id)
        if "cancel" in path
        else refunds.update_async(refund.id, {"metadata": {"a": "b"}})
    )
    await failure(work, StripeError)
    assert shop.sandbox.fired() == [1]


# -- not at once ----------------------------------------------------------------------------------------------------


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


# -- a short balance ------------------------------------------------------------------------------------------------


async def test_a_refund_waits_for_the_balance(own_shop: Shop) -> None:
    control = own_shop.sandbox.control
    await own_shop.sell()
    control("POST", "balance", {"currency": "usd", "available": 1000})
    paid, short = await own_shop.refund(amount=600), await own_shop.refund(amount=500)

    assert (paid.status, short.status, short.pending_reason) == ("succeeded", "pending", "insufficient_funds")
    assert short.balance_transaction is None
    assert (await own_shop.api.v1.balance.retrieve_async()).available[0].amount == 400
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


# -- the witness ----------------------------------------------------------------------------------------------------


async def test_the_witness_tells_orders_apart_and_adds_them_up(own_shop: Shop) -> None:
    await own_shop.sell()
    await own_shop.refund(amount=500)
    first = own_shop.order
    own_shop.order = new_key()
    await own_shop.sell("pm_card_refundFail", currency="eur")
    own_shop.end(await own_shop.refund(), "failed")
    canceled = await own_shop.api.create(metadata=order("canceled"))
    await own_shop.api.intents.cancel_async(canceled.id)

    found = own_shop.sandbox.control("GET", "truth?per=order")
    orders = {entry["order"]: entry for entry in found["orders"]}
    assert set(orders) == {first, own_shop.order, "canceled"}
    assert len(found["orders"]) == 3
    assert orders[first]["refunded"] == {"usd": 500}
    assert (orders[own_shop.order]["refunded"], orders[own_shop.order]["refunds_failed"]) == ({}, 1)
    assert (orders["canceled"]["charges"], orders["canceled"]["canceled"]) == (0, [canceled.id])
    totals = found["totals"]
    assert (totals["refunds"], totals["refunded"], totals["refunds_failed"], totals["canceled"]) == (
        1,
        {"usd": 500},
        1,
        1,
    )
    assert totals["charges_failed"] == 0
