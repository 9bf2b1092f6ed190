"""What answers say in detail: values from recorded answers of Stripe's test mode and from its pages."""

from typing import Any

import pytest
from stripe import CardError, InvalidRequestError

from tests.sandbox.client import Api, failure, new_key

# Recorded for card 0341, API version 2025-11-17.clover, and for 0002 in 2026.
RECORDED_DECLINE = {
    "advice_code": "try_again_later",
    "code": "card_declined",
    "decline_code": "generic_decline",
    "doc_url": "https://stripe.com/docs/error-codes/card-declined",
    "message": "Your card was declined.",
    "network_decline_code": "01",
    "type": "card_error",
}
RECORDED_OUTCOME = {
    "advice_code": "try_again_later",
    "network_advice_code": None,
    "network_decline_code": "01",
    "network_status": "declined_by_network",
    "reason": "generic_decline",
    "risk_level": "normal",
    "seller_message": "The bank did not return any further details with this decline.",
    "type": "issuer_declined",
}
TOLD_THE_MERCHANT = {
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
    "pm_card_visa_chargeDeclinedLostCard": "lost_card",
}
FACES = [
    ("pm_card_visa", "visa", "credit", "4242", "US"),
    ("pm_card_visa_debit", "visa", "debit", "5556", "US"),
    ("pm_card_mastercard_debit", "mastercard", "debit", "8210", "US"),
    ("pm_card_mastercard_prepaid", "mastercard", "prepaid", "5100", "US"),
    ("pm_card_gb", "visa", "credit", "0000", "GB"),
    ("pm_card_de", "visa", "credit", "0016", "DE"),
    ("pm_card_createDispute", "visa", "credit", "0259", "US"),
    ("pm_card_createDisputeInquiry", "visa", "credit", "1976", "US"),
    ("pm_card_refundFail", "visa", "credit", "5126", "US"),
    ("pm_card_threeDSecureOptional", "visa", "credit", "3055", "US"),
    ("pm_card_amex_threeDSecureNotSupported", "amex", "credit", "0005", "US"),
]
ALWAYS_ASK = [
    ("pm_card_threeDSecure2Required", "3220"),
    ("pm_card_authenticationRequiredSetupForOffSession", "0446"),
    ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "3178"),
]


async def _charge(api: Api, intent_id: str) -> Any:
    (charge,) = (await api.v1.charges.list_async({"payment_intent": intent_id})).data
    return charge


async def _declined(api: Api, card: str, **params: Any) -> Any:
    return await failure(api.pay(card, **params), CardError)


# -- declines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", ["pm_card_chargeCustomerFail", "pm_card_visa_chargeDeclined"])
async def test_a_decline_says_what_a_recorded_one_says(sandbox_api: Api, card: str) -> None:
    error: Any = (await _declined(sandbox_api, card)).json_body["error"]

    told = {"charge", "payment_intent", "payment_method", "request_log_url"}
    assert set(error) == set(RECORDED_DECLINE) | told
    assert {name: error[name] for name in RECORDED_DECLINE} == RECORDED_DECLINE
    assert error["payment_intent"]["last_payment_error"] == {
        name: value for name, value in error.items() if name not in ("payment_intent", "request_log_url")
    }
    charge = await _charge(sandbox_api, error["payment_intent"]["id"])
    assert charge.id == error["charge"]
    assert {name: charge.outcome[name] for name in RECORDED_OUTCOME} == RECORDED_OUTCOME
    assert charge.receipt_url is None
    assert charge.payment_method_details.card.amount_authorized is None


@pytest.mark.parametrize(("card", "code"), TOLD_THE_MERCHANT.items())
async def test_the_merchant_is_told_the_banks_code(sandbox_api: Api, card: str, code: str) -> None:
    declined = await _declined(sandbox_api, card)
    charge = await _charge(sandbox_api, declined.error.payment_intent.id)
    assert charge.outcome.seller_message == f"The bank returned the decline code `{code}`."
    assert charge.outcome.reason == code


@pytest.mark.parametrize("card", ["pm_card_radarBlock", "pm_card_riskLevelHighest", "pm_card_chargeDeclinedFraudulent"])
async def test_radar_blocks_before_the_network_is_asked(sandbox_api: Api, card: str) -> None:
    declined = await _declined(sandbox_api, card)
    assert declined.error.advice_code is declined.error.network_decline_code is None
    charge = await _charge(sandbox_api, declined.error.payment_intent.id)
    assert (charge.outcome.type, charge.outcome.network_status) == ("blocked", "not_sent_to_network")
    assert (charge.outcome.reason, charge.outcome.risk_level) == ("highest_risk_level", "highest")
    assert charge.outcome.seller_message == "Stripe blocked this payment as too risky."
    assert charge.payment_method_details.card.network_transaction_id is None


async def test_a_risky_card_pays_and_says_so(sandbox_api: Api) -> None:
    charge = (await sandbox_api.pay("pm_card_riskLevelElevated", expand=["latest_charge"])).latest_charge
    assert (charge.paid, charge.outcome.risk_level) == (True, "elevated")


async def test_the_checks_of_a_card_are_shown(sandbox_api: Api) -> None:
    seen = {}
    for card in ("pm_card_visa", "pm_card_cvcCheckFail", "pm_card_avsFail"):
        charge = (await sandbox_api.pay(card, expand=["latest_charge"])).latest_charge
        checks = charge.payment_method_details.card.checks
        seen[card] = (checks.cvc_check, checks.address_line1_check, checks.address_postal_code_check)
    assert seen == {
        "pm_card_visa": ("pass", None, None),
        "pm_card_cvcCheckFail": ("fail", None, None),
        "pm_card_avsFail": ("pass", "fail", "fail"),
    }


# -- the cards ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("card", "brand", "funding", "last4", "country"), FACES)
async def test_a_test_card_pays_as_the_card_it_names(
    sandbox_api: Api, card: str, brand: str, funding: str, last4: str, country: str
) -> None:
    charge = (await sandbox_api.pay(card, expand=["latest_charge"])).latest_charge
    shown = charge.payment_method_details.card
    assert (shown.brand, shown.funding, shown.last4, shown.country) == (brand, funding, last4, country)


@pytest.mark.parametrize(("card", "last4"), ALWAYS_ASK)
async def test_a_card_that_asks_its_owner_has_its_own_number(sandbox_api: Api, card: str, last4: str) -> None:
    intent = await sandbox_api.pay(card)
    assert intent.status == "requires_action"
    off_session = await failure(sandbox_api.pay("pm_card_authenticationRequired", off_session=True), CardError)
    assert off_session.error.payment_method.card.last4 == "3184"
    refused = await failure(sandbox_api.pay(card, error_on_requires_action=True), CardError)
    assert refused.error.payment_method.card.last4 == last4


async def test_one_card_number_has_one_fingerprint(sandbox_api: Api) -> None:
    prints = []
    for card in ("pm_card_visa", "pm_card_visa", "pm_card_visa_debit"):
        charge = (await sandbox_api.pay(card, expand=["latest_charge"])).latest_charge
        prints.append(charge.payment_method_details.card.fingerprint)
    assert prints[0] == prints[1] != prints[2]


async def test_the_statement_names_the_account_and_the_order(sandbox_api: Api) -> None:
    plain = (await sandbox_api.pay(expand=["latest_charge"])).latest_charge
    own = (await sandbox_api.pay(statement_descriptor_suffix="ORDER 17", expand=["latest_charge"])).latest_charge
    account = await sandbox_api.v1.accounts.retrieve_current_async()
    assert plain.calculated_statement_descriptor == account.settings.payments.statement_descriptor == "SANDBOX"
    assert own.calculated_statement_descriptor == "SANDBOX* ORDER 17"


# -- states -------------------------------------------------------------------------------------------------------


async def test_a_paid_intent_says_that_it_is_paid_already(sandbox_api: Api) -> None:
    paid = await sandbox_api.pay()
    refused = await failure(sandbox_api.intents.confirm_async(paid.id), InvalidRequestError)
    assert refused.user_message == (
        "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
    )


async def test_a_paid_intent_says_when_it_could_have_been_canceled(sandbox_api: Api) -> None:
    paid = await sandbox_api.pay()
    refused = await failure(sandbox_api.intents.cancel_async(paid.id), InvalidRequestError)
    assert refused.user_message == (
        "You cannot cancel this PaymentIntent because it has a status of succeeded. Only a PaymentIntent with one of "
        "the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, "
        "requires_action."
    )


async def test_the_created_event_shows_the_intent_before_its_payment(sandbox_api: Api) -> None:
    intent = await sandbox_api.pay()
    events = (await sandbox_api.v1.events.list_async({"type": "payment_intent.created", "limit": 100})).data
    (created,) = [event.data.object for event in events if event.data.object["id"] == intent.id]
    assert (created["status"], created["payment_method"]) == ("requires_payment_method", None)


# -- headers ------------------------------------------------------------------------------------------------------


async def test_every_keyed_post_names_its_original_and_forbids_repeating(sandbox_api: Api) -> None:
    key, bad = new_key(), new_key()
    paid = (await sandbox_api.pay(key=key)).last_response
    again = (await sandbox_api.pay(key=key)).last_response
    declined = await _declined(sandbox_api, "pm_card_visa_chargeDeclined", key=bad)

    for headers, request_id in [(paid.headers, paid.request_id), (declined.headers, declined.request_id)]:
        assert headers["original-request"] == headers["request-id"] == request_id
        assert headers["stripe-should-retry"] == "false"
        assert "idempotent-replayed" not in headers
    assert again.headers["original-request"] == paid.request_id != again.request_id
    assert again.headers["stripe-should-retry"] == "false"
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_refused_post_names_itself_as_its_original(sandbox_api: Api) -> None:
    refused = await failure(sandbox_api.pay(amount=1), InvalidRequestError)
    assert refused.headers["original-request"] == refused.request_id
    assert "stripe-should-retry" not in refused.headers


async def test_a_read_has_no_original(sandbox_api: Api) -> None:
    intent = await sandbox_api.create()
    read = await sandbox_api.intents.retrieve_async(intent.id, {}, {"idempotency_key": new_key()})
    assert "original-request" not in read.last_response.headers
    assert "stripe-should-retry" not in read.last_response.headers
