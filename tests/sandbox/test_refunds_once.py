"""Refunds that are refused, and refunds that are asked for twice, at once, or without an answer."""

import asyncio

import pytest
from stripe import InvalidRequestError, StripeError

from tests.sandbox.client import failure, new_key
from tests.sandbox.shop import Shop

# -- refused ----------------------------------------------------------------------------------------------------------


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


async def test_a_disputed_charge_is_not_refunded_until_the_dispute_is_over(shop: Shop) -> None:
    await shop.sell()
    dispute = shop.dispute()
    key = new_key()
    for replayed in (None, "true"):
        refused = await failure(shop.refund(key), InvalidRequestError)
        assert (refused.http_status, refused.code) == (400, "charge_disputed")
        assert refused.user_message == (
            f"Charge {shop.intent.latest_charge} has been charged back; cannot issue a refund."
        )
        assert refused.headers.get("idempotent-replayed") == replayed
    assert ((await shop.charge()).disputed, shop.back()) == (True, (0, {}, 0))

    shop.decide(dispute, "won")
    assert "charge.refunded" not in await shop.told(shop.intent.latest_charge)
    assert (await shop.refund()).status == "succeeded"


async def test_only_what_was_taken_can_be_disputed(shop: Shop) -> None:
    await shop.sell(capture_method="manual")
    with pytest.raises(OSError, match="400"):
        shop.dispute()
    with pytest.raises(OSError, match="404"):
        shop.sandbox.control("POST", "charges/ch_nobody/dispute", {})


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


# -- once -------------------------------------------------------------------------------------------------------------


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
