"""What the service relies on at Stripe, written against stripe-python alone.

The same promises hold at Stripe: EO_CONFORMANCE_STRIPE_KEY=sk_test_… pytest tests/sandbox/test_conformance.py
"""

import asyncio
import time
from typing import Any

import pytest
from stripe import (
    APIError,
    AuthenticationError,
    CardError,
    IdempotencyError,
    InvalidRequestError,
)

from tests.conformance.cases import declines
from tests.sandbox.client import NO_REDIRECTS, Api, Target, failure, new_key

DECLINES = {**declines.DECLINES, "pm_card_chargeDeclined": ("card_declined", "generic_decline")}
REFUSED = [
    ({"amount": None}, "amount", "parameter_missing"),
    ({"amount": "12.5"}, "amount", "parameter_invalid_integer"),
    ({"amount": -1}, "amount", "parameter_invalid_integer"),
    ({"amount": 49}, "amount", "amount_too_small"),
    ({"amount": 100_000_000}, "amount", "amount_too_large"),
    ({"currency": "xxx"}, "currency", None),
    ({"currency": None}, "currency", "parameter_missing"),
    ({"colour": "red"}, "colour", "parameter_unknown"),
    ({"payment_method": "pm_nobody"}, "payment_method", "resource_missing"),
]


# -- one charge ---------------------------------------------------------------------------------------------------


async def test_a_good_card_is_charged_at_once(api: Api) -> None:
    intent = await api.pay(metadata={"k": "v"}, description="an order")

    assert (intent.object, intent.status) == ("payment_intent", "succeeded")
    assert (intent.amount, intent.amount_received, intent.currency) == (1999, 1999, "usd")
    assert intent.metadata.to_dict() == {"k": "v"}
    assert intent.client_secret.startswith(intent.id + "_secret_")
    assert intent.capture_method == "automatic_async"
    assert intent.livemode is False


async def test_the_fee_is_not_known_when_the_card_is_charged(api: Api) -> None:
    intent = await api.pay(expand=["latest_charge"])

    assert intent.latest_charge.status == "succeeded"
    assert intent.latest_charge.balance_transaction is None


async def test_the_fee_becomes_known_later(api: Api) -> None:
    charge = (await api.pay(expand=["latest_charge"])).latest_charge

    movement = await _balance_transaction(api, charge.id)

    assert (movement.source, movement.type, movement.reporting_category) == (charge.id, "charge", "charge")
    assert movement.amount == 1999
    assert movement.fee == sum(detail.amount for detail in movement.fee_details) > 0
    assert movement.net == movement.amount - movement.fee
    assert [event.type for event in await _events(api, charge.id)].count("charge.updated") == 1


async def test_a_charge_is_told_in_events_that_name_their_request(api: Api) -> None:
    key = new_key()
    intent = await api.pay(key=key)

    events = await _events(api, intent.id)

    assert {event.type for event in events} == {"payment_intent.created", "payment_intent.succeeded"}
    assert {event.request.idempotency_key for event in events} == {key}
    assert {event.request.id for event in events} == {intent.last_response.request_id}


async def test_a_currency_without_minor_units_is_charged_as_it_is(api: Api) -> None:
    intent = await api.pay(currency="jpy", amount=500)
    assert (intent.status, intent.currency, intent.amount_received) == ("succeeded", "jpy", 500)


async def test_every_use_of_a_test_card_is_a_payment_method_of_its_own(api: Api) -> None:
    one, two = await api.pay(), await api.pay()
    assert one.payment_method.startswith("pm_")
    assert len({one.payment_method, two.payment_method, "pm_card_visa"}) == 3


# -- idempotency --------------------------------------------------------------------------------------------------


async def test_same_key_same_params_replays_the_saved_answer(api: Api) -> None:
    key = new_key()
    first = await api.pay(key=key)
    again = await api.pay(key=key)

    assert again.to_dict() == first.to_dict()
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.last_response.headers["original-request"] == first.last_response.request_id


async def test_same_params_in_another_order_are_the_same_params(api: Api) -> None:
    key = new_key()
    first = await api.create(key, metadata={"a": "1", "b": "2"})
    again = await api.create(key, metadata={"b": "2", "a": "1"})
    assert again.id == first.id


async def test_a_replay_repeats_the_first_answer_not_the_present(api: Api) -> None:
    key = new_key()
    created = await api.create(key)
    await api.intents.cancel_async(created.id)

    assert (await api.create(key)).status == created.status == "requires_payment_method"


async def test_same_key_other_params_is_refused(api: Api) -> None:
    key = new_key()
    await api.pay(key=key)
    refused = await failure(api.pay(key=key, amount=2000), IdempotencyError)
    assert refused.http_status == 400
    assert refused.error.type == "idempotency_error"


async def test_same_key_same_params_at_another_endpoint_is_refused(api: Api) -> None:
    key = new_key()
    one, two = await api.create(), await api.create()
    await api.intents.cancel_async(one.id, {}, {"idempotency_key": key})
    with pytest.raises(IdempotencyError):
        await api.intents.cancel_async(two.id, {}, {"idempotency_key": key})
    assert (await api.intents.retrieve_async(two.id)).status == "requires_payment_method"


async def test_a_decline_is_replayed_as_well(api: Api) -> None:
    key = new_key()
    declines = []
    for _ in range(2):
        declined = await failure(api.pay("pm_card_visa_chargeDeclined", key), CardError)
        declines.append(declined)

    assert declines[0].error.payment_intent.id == declines[1].error.payment_intent.id
    assert declines[1].headers["idempotent-replayed"] == "true"


async def test_a_validation_error_is_not_saved(api: Api) -> None:
    key = new_key()
    with pytest.raises(InvalidRequestError):
        await api.pay(key=key, amount=1)
    assert (await api.pay(key=key)).status == "succeeded"


async def test_a_wrong_api_key_saves_nothing(api: Api, target: Target) -> None:
    key = new_key()
    async with Api(target._replace(key="sk_wrong")) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.pay(key=key)
    assert (await api.pay(key=key)).status == "succeeded"


async def test_a_key_in_use_by_many_at_once_charges_once(api: Api) -> None:
    key = new_key()
    answers = await asyncio.gather(*(api.pay(key=key) for _ in range(5)), return_exceptions=True)

    paid = [answer for answer in answers if not isinstance(answer, BaseException)]
    busy: list[Any] = [answer for answer in answers if isinstance(answer, APIError)]
    assert len(paid) + len(busy) == 5
    assert len({intent.id for intent in paid}) == 1
    assert {error.error.code for error in busy} <= {"idempotency_key_in_use"}


async def test_a_key_longer_than_255_characters_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequestError):
        await api.create("k" * 256)
    assert (await api.create(new_key().ljust(255, "k"))).id


# -- declines and authentication ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("card", "code", "decline_code"), [(c, *d) for c, d in DECLINES.items()])
async def test_a_bad_card_declines_with_its_code(api: Api, card: str, code: str, decline_code: str | None) -> None:
    declined = await failure(api.pay(card), CardError)

    error = declined.error
    assert (declined.http_status, declined.code) == (402, code)
    assert decline_code is None or error.decline_code == decline_code
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.code == code


async def test_a_decline_leaves_a_failed_charge_and_no_money(api: Api) -> None:
    declined = await failure(api.pay("pm_card_visa_chargeDeclinedInsufficientFunds"), CardError)

    intent = declined.error.payment_intent
    (charge,) = (await api.v1.charges.list_async({"payment_intent": intent.id})).data
    assert (charge.status, charge.paid, charge.captured) == ("failed", False, False)
    assert charge.failure_code == "card_declined"
    assert charge.outcome.reason == "insufficient_funds"
    assert charge.balance_transaction is None
    assert (intent.amount_received, intent.latest_charge) == (0, charge.id)


async def test_another_card_may_pay_the_declined_intent(api: Api) -> None:
    declined = await failure(api.pay("pm_card_visa_chargeDeclined"), CardError)

    intent_id = declined.error.payment_intent.id
    intent = await api.intents.confirm_async(intent_id, {"payment_method": "pm_card_visa"})
    assert (intent.id, intent.status) == (intent_id, "succeeded")


async def test_three_d_secure_on_session_waits_for_the_customer(api: Api) -> None:
    intent = await api.pay("pm_card_authenticationRequired")
    assert intent.status == "requires_action"
    assert intent.next_action.type == "use_stripe_sdk"
    assert (intent.amount_received, intent.latest_charge) == (0, None)


async def test_three_d_secure_with_a_return_url_redirects(api: Api) -> None:
    intent = await api.pay("pm_card_authenticationRequired", return_url="https://example.com/back")
    assert intent.next_action.redirect_to_url.return_url == "https://example.com/back"


async def test_three_d_secure_off_session_declines(api: Api) -> None:
    declined = await failure(api.pay("pm_card_authenticationRequired", off_session=True), CardError)
    assert declined.code == "authentication_required"
    assert declined.error.payment_intent.status == "requires_payment_method"


# -- two steps, cancel --------------------------------------------------------------------------------------------


async def test_a_created_intent_charges_nothing_until_confirmed(api: Api) -> None:
    intent = await api.create(payment_method="pm_card_visa")
    assert (intent.status, intent.latest_charge) == ("requires_confirmation", None)
    assert (await api.intents.confirm_async(intent.id)).status == "succeeded"


async def test_a_second_confirm_charges_nothing(api: Api) -> None:
    intent = await api.pay()
    refused = await failure(
        api.intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"}), InvalidRequestError
    )

    assert (refused.http_status, refused.code) == (400, "payment_intent_unexpected_state")
    assert refused.error.payment_intent.status == "succeeded"
    assert len((await api.v1.charges.list_async({"payment_intent": intent.id})).data) == 1


async def test_an_intent_without_a_payment_method_cannot_be_confirmed(api: Api) -> None:
    intent = await api.create()
    with pytest.raises(InvalidRequestError, match="missing a payment method"):
        await api.intents.confirm_async(intent.id)


async def test_a_canceled_intent_can_no_longer_be_paid(api: Api) -> None:
    intent = await api.create(payment_method="pm_card_visa")
    canceled = await api.intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at >= canceled.created

    refused = await failure(api.intents.confirm_async(intent.id), InvalidRequestError)
    assert refused.code == "payment_intent_unexpected_state"


async def test_a_paid_intent_cannot_be_canceled(api: Api) -> None:
    intent = await api.pay()
    refused = await failure(api.intents.cancel_async(intent.id), InvalidRequestError)
    assert refused.code == "payment_intent_unexpected_state"


async def test_a_waiting_intent_can_be_canceled(api: Api) -> None:
    intent = await api.pay("pm_card_authenticationRequired")
    assert (await api.intents.cancel_async(intent.id)).status == "canceled"


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "param", "code"), REFUSED)
async def test_what_is_wrong_is_named(api: Api, params: dict[str, Any], param: str, code: str | None) -> None:
    refused = await failure(api.pay(**params), InvalidRequestError)
    assert (refused.http_status, refused.param) == (400, param)
    assert code is None or refused.code == code


@pytest.mark.parametrize(
    "metadata",
    [{f"k{n}": "v" for n in range(51)}, {"k" * 41: "v"}, {"k": "v" * 501}],
    ids=["51", "41", "501"],
)
async def test_metadata_has_limits(api: Api, metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        await api.create(metadata=metadata)


async def test_metadata_up_to_its_limits_comes_back(api: Api) -> None:
    metadata = {f"{n:040}": "é&=[]+ %" + "v" * 492 for n in range(50)}
    assert (await api.create(metadata=metadata)).metadata.to_dict() == metadata


async def test_automatic_payment_methods_need_a_return_url(api: Api) -> None:
    with pytest.raises(InvalidRequestError, match="return_url"):
        await api.pay(automatic_payment_methods=None)
    assert (await api.pay(automatic_payment_methods=NO_REDIRECTS)).status == "succeeded"


async def test_an_unknown_intent_is_404(api: Api) -> None:
    refused = await failure(api.intents.retrieve_async("pi_nobody"), InvalidRequestError)
    assert (refused.http_status, refused.code) == (404, "resource_missing")


async def test_every_answer_carries_a_request_id_and_the_version_asked_for(api: Api) -> None:
    key = new_key()
    headers = (await api.create(key)).last_response.headers
    assert headers["request-id"].startswith("req_")
    assert headers["stripe-version"]
    assert headers["idempotency-key"] == key
    assert headers["date"]


# -- reading back -------------------------------------------------------------------------------------------------


async def test_an_intent_reads_back_as_it_was_answered(api: Api) -> None:
    intent = await api.pay()
    assert (await api.intents.retrieve_async(intent.id)).to_dict() == intent.to_dict()


async def test_what_stands_behind_an_id_can_be_expanded(api: Api) -> None:
    intent = await api.pay()
    await _balance_transaction(api, intent.latest_charge)

    paths = ["latest_charge.balance_transaction"]
    charge = (await api.intents.retrieve_async(intent.id, {"expand": paths})).latest_charge
    assert charge.payment_intent == intent.id
    assert charge.balance_transaction.source == charge.id

    page = await api.intents.list_async({"limit": 1, "expand": ["data.latest_charge"]})
    assert page.data[0].latest_charge.object == "charge"


async def test_what_is_not_an_id_cannot_be_expanded(api: Api) -> None:
    intent = await api.create()
    with pytest.raises(InvalidRequestError, match="cannot be expanded"):
        await api.intents.retrieve_async(intent.id, {"expand": ["amount"]})


async def test_lists_are_newest_first_and_immediately_complete(api: Api) -> None:
    made = [(await api.create()).id for _ in range(3)]
    page = await api.intents.list_async({"limit": 3})
    assert [intent.id for intent in page.data] == made[::-1]
    assert page.has_more is True


async def test_pages_join_without_gap_or_repeat(api: Api) -> None:
    made = [(await api.create()).id for _ in range(5)]
    first = await api.intents.list_async({"limit": 2})
    second = await api.intents.list_async({"limit": 2, "starting_after": first.data[-1].id})
    back = await api.intents.list_async({"limit": 2, "ending_before": second.data[0].id})

    assert [i.id for i in first.data + second.data] == made[:0:-1]
    assert [i.id for i in back.data] == [i.id for i in first.data]


async def test_auto_paging_reads_a_whole_window(api: Api) -> None:
    made = [await api.create() for _ in range(4)]
    window: Any = {"created": {"gte": made[0].created, "lte": made[-1].created}, "limit": 1}
    page = await api.intents.list_async(window)
    seen = [intent.id async for intent in page.auto_paging_iter()]
    assert {intent.id for intent in made} <= set(seen)
    assert len(seen) == len(set(seen))


async def test_a_window_of_created_excludes_what_lies_outside(api: Api) -> None:
    intent = await api.create()
    inside: Any = {"created": {"gte": intent.created, "lt": intent.created + 1}, "limit": 100}
    outside: Any = {"created": {"gt": intent.created - 100, "lt": intent.created}, "limit": 100}
    assert intent.id in [i.id for i in (await api.intents.list_async(inside)).data]
    assert intent.id not in [i.id for i in (await api.intents.list_async(outside)).data]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"starting_after": "pi_nobody"}, {"colour": "red"}])
async def test_a_list_refuses_what_it_does_not_know(api: Api, params: Any) -> None:
    with pytest.raises(InvalidRequestError):
        await api.intents.list_async(params)


async def test_charges_and_movements_are_found_by_where_they_come_from(api: Api) -> None:
    intent = await api.pay()
    movement = await _balance_transaction(api, intent.latest_charge)

    charges = await api.v1.charges.list_async({"payment_intent": intent.id})
    movements = await api.v1.balance_transactions.list_async({"source": intent.latest_charge, "type": "charge"})
    assert [charge.id for charge in charges.data] == [intent.latest_charge]
    assert [m.id for m in movements.data] == [movement.id]
    assert (await api.v1.balance_transactions.retrieve_async(movement.id)).net == movement.net


async def test_events_are_found_by_one_of_several_types(api: Api) -> None:
    intent = await api.pay()
    page = await api.v1.events.list_async({"types": ["payment_intent.created", "charge.failed"], "limit": 10})
    assert [e.type for e in page.data if e.data.object["id"] == intent.id] == ["payment_intent.created"]
    assert {e.type for e in page.data} <= {"payment_intent.created", "charge.failed"}


async def test_events_are_found_by_type(api: Api) -> None:
    intent = await api.pay()
    page = await api.v1.events.list_async({"type": "payment_intent.succeeded", "limit": 5})
    (event,) = [e for e in page.data if e.data.object["id"] == intent.id]
    assert (await api.v1.events.retrieve_async(event.id)).type == "payment_intent.succeeded"


async def test_the_account_and_its_balance_can_be_read(api: Api) -> None:
    account = await api.v1.accounts.retrieve_current_async()
    assert account.id.startswith("acct_")
    assert account.default_currency
    assert (await api.v1.balance.retrieve_async()).livemode is False


async def _balance_transaction(api: Api, charge_id: str) -> Any:
    """The balance transaction of the charge, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        charge = await api.v1.charges.retrieve_async(charge_id, {"expand": ["balance_transaction"]})
        if charge.balance_transaction is not None:
            return charge.balance_transaction
        await asyncio.sleep(0.02)
    raise AssertionError("the balance transaction did not appear")


async def _events(api: Api, object_id: str) -> list[Any]:
    """The newest events about one object."""
    page = await api.v1.events.list_async({"limit": 100})
    return [event for event in page.data if event.data.object["id"] == object_id]
