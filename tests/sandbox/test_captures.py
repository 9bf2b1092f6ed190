"""Manual capture: money is held, then taken, let go on request, or let go after seven days."""

from typing import Any

import pytest
from stripe import CardError, InvalidRequestError

from tests.sandbox.client import Api, failure, new_key, order
from tests.sandbox.process import SandboxProcess

DAY_S = 86_400
UNEXPECTED = "payment_intent_unexpected_state"


async def hold(api: Api, name: str = "held", **params: Any) -> Any:
    """An authorization of 19.99."""
    return await api.pay(**{"capture_method": "manual", "metadata": order(name), "expand": ["latest_charge"]} | params)


async def told(api: Api, *ids: str) -> list[str]:
    """The events about these objects, oldest first."""
    events = (await api.v1.events.list_async({"limit": 100})).data
    return [event.type for event in reversed(events) if event.data.object["id"] in ids]


# -- held -----------------------------------------------------------------------------------------------------------


async def test_an_authorization_takes_nothing(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    own_sandbox.control("POST", "fees/flush")

    charge = held.latest_charge
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 1999, 0)
    assert (charge.status, charge.paid, charge.captured, charge.amount_captured) == ("succeeded", True, False, 0)
    assert (await own_api.v1.balance_transactions.list_async()).data == []
    assert (await own_api.v1.charges.retrieve_async(charge.id)).balance_transaction is None
    truth = own_sandbox.truth("held")
    assert (truth["charges"], truth["amounts"], truth["held"]) == (0, {}, {"usd": 1999})
    totals = own_sandbox.control("GET", "truth")
    assert (totals["charges_succeeded"], totals["charges_failed"]) == (0, 0)
    assert await told(own_api, held.id, charge.id) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
    ]


@pytest.mark.parametrize("card", ["pm_card_authenticationRequired", "pm_sandbox_processing"])
async def test_what_ends_later_is_held_then(sandbox: SandboxProcess, sandbox_api: Api, card: str) -> None:
    name = new_key()
    waiting = await hold(sandbox_api, name, payment_method=card)
    sandbox.control("POST", f"payment_intents/{waiting.id}/complete_action", {"succeed": True})
    assert (await sandbox_api.intents.retrieve_async(waiting.id)).status == "requires_capture"
    assert sandbox.truth(name)["charges"] == 0


async def test_a_confirm_may_ask_for_a_hold(sandbox_api: Api) -> None:
    made = await sandbox_api.create(payment_method="pm_card_visa")
    held = await sandbox_api.intents.confirm_async(made.id, {"capture_method": "manual"})
    assert (held.status, held.capture_method) == ("requires_capture", "manual")


async def test_a_declined_authorization_is_a_decline(sandbox_api: Api) -> None:
    declined = await failure(hold(sandbox_api, payment_method="pm_card_visa_chargeDeclined"), CardError)
    assert declined.error.payment_intent.status == "requires_payment_method"


# -- taken ----------------------------------------------------------------------------------------------------------


async def test_a_capture_takes_all_that_is_held(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    taken = await own_api.intents.capture_async(held.id, {"expand": ["latest_charge"]})

    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", 1999, 0)
    assert (taken.latest_charge.captured, taken.latest_charge.amount_captured) == (True, 1999)
    assert taken.latest_charge.balance_transaction is None
    truth = own_sandbox.truth("held")
    assert (truth["charges"], truth["amounts"], truth["captured"]) == (1, {"usd": 1999}, {"usd": 1999})
    assert (truth["held"], truth["released"]) == ({}, {})
    assert (await told(own_api, held.id, taken.latest_charge.id))[3:] == ["charge.captured", "payment_intent.succeeded"]


async def test_a_partial_capture_releases_the_rest_and_is_no_refund(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    taken = await own_api.intents.capture_async(held.id, {"amount_to_capture": 1500, "expand": ["latest_charge"]})
    own_sandbox.control("POST", "fees/flush")

    charge = taken.latest_charge
    assert (taken.amount, taken.amount_received, taken.amount_capturable) == (1999, 1500, 0)
    assert (charge.amount, charge.amount_captured, charge.amount_refunded, charge.refunded) == (1999, 1500, 0, False)
    (movement,) = (await own_api.v1.balance_transactions.list_async()).data
    assert (movement.type, movement.amount, movement.fee, movement.source) == ("charge", 1500, 74, charge.id)
    assert (await own_api.v1.refunds.list_async()).data == []
    truth = own_sandbox.truth("held")
    assert (truth["amounts"], truth["captured"], truth["released"]) == ({"usd": 1500}, {"usd": 1500}, {"usd": 499})


async def test_a_capture_says_what_belongs_on_the_statement(sandbox_api: Api) -> None:
    held = await hold(sandbox_api)
    given: Any = {
        "statement_descriptor_suffix": "ORDER 17",
        "metadata": {"eo_attempt": "", "more": "1"},
        "expand": ["latest_charge"],
    }
    taken = await sandbox_api.intents.capture_async(held.id, given)
    assert taken.latest_charge.calculated_statement_descriptor == "SANDBOX* ORDER 17"
    assert taken.metadata.to_dict() == {"eo_account": "acc", "eo_order": "held", "more": "1"}


async def test_same_key_twice_captures_once(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    name, key = new_key(), new_key()
    held = await hold(sandbox_api, name)
    answers = [await sandbox_api.intents.capture_async(held.id, {}, {"idempotency_key": key}) for _ in range(2)]
    assert answers[0].to_dict() == answers[1].to_dict()
    assert answers[1].last_response.headers["idempotent-replayed"] == "true"
    assert sandbox.truth(name)["charges"] == 1


@pytest.mark.parametrize("fault", ["executed_reply_lost", "executed_500", "error_500_roll_forward"])
async def test_a_lost_answer_to_a_capture_took_the_money(sandbox: SandboxProcess, sandbox_api: Api, fault: str) -> None:
    name = new_key()
    held = await hold(sandbox_api, name)
    sandbox.faults({"fault": fault, "path": "/capture$", "metadata_order": name, "delay_s": 0})
    await failure(sandbox_api.intents.capture_async(held.id), Exception)
    assert sandbox.fired() == [1]
    assert sandbox.truth(name)["amounts"] == {"usd": 1999}
    assert (await sandbox_api.intents.retrieve_async(held.id)).status == "succeeded"


# -- refused --------------------------------------------------------------------------------------------------------


async def test_a_second_capture_takes_nothing_and_its_refusal_is_saved(
    sandbox: SandboxProcess, sandbox_api: Api
) -> None:
    name, key = new_key(), new_key()
    held = await hold(sandbox_api, name)
    await sandbox_api.intents.capture_async(held.id)
    for replayed in (None, "true"):
        again = sandbox_api.intents.capture_async(held.id, {}, {"idempotency_key": key})
        refused = await failure(again, InvalidRequestError)
        assert (refused.http_status, refused.code) == (400, UNEXPECTED)
        assert refused.user_message == (
            "This PaymentIntent could not be captured because it has already been captured."
        )
        assert refused.error.payment_intent.status == "succeeded"
        assert refused.headers.get("idempotent-replayed") == replayed
    assert sandbox.truth(name)["charges"] == 1


@pytest.mark.parametrize("status", ["requires_payment_method", "canceled"])
async def test_what_is_not_held_cannot_be_captured(sandbox_api: Api, status: str) -> None:
    made = await sandbox_api.create()
    if status == "canceled":
        await sandbox_api.intents.cancel_async(made.id)
    refused = await failure(sandbox_api.intents.capture_async(made.id), InvalidRequestError)
    assert refused.code == UNEXPECTED
    assert refused.user_message == (
        f"This PaymentIntent could not be captured because it has a status of {status}. Only a PaymentIntent with one "
        "of the following statuses may be captured: requires_capture."
    )


async def test_no_more_than_is_held_can_be_captured(sandbox_api: Api) -> None:
    held = await hold(sandbox_api)
    refused = await failure(
        sandbox_api.intents.capture_async(held.id, {"amount_to_capture": 2000}), InvalidRequestError
    )
    assert (refused.http_status, refused.code) == (400, "amount_too_large")
    assert refused.error.payment_intent.status == "requires_capture"
    for amount in (0, -1):
        refused = await failure(
            sandbox_api.intents.capture_async(held.id, {"amount_to_capture": amount}), InvalidRequestError
        )
        assert refused.param == "amount_to_capture"
    assert (await sandbox_api.intents.capture_async(held.id, {"amount_to_capture": 1999})).status == "succeeded"


# -- let go ---------------------------------------------------------------------------------------------------------


async def test_a_cancel_lets_the_card_go(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    canceled = await own_api.intents.cancel_async(
        held.id, {"cancellation_reason": "requested_by_customer", "expand": ["latest_charge"]}
    )

    charge = canceled.latest_charge
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert (canceled.amount_capturable, canceled.amount_received) == (0, 0)
    assert (charge.captured, charge.refunded, charge.amount_captured, charge.amount_refunded) == (False, False, 0, 0)
    truth = own_sandbox.truth("held")
    assert (truth["charges"], truth["held"], truth["released"]) == (0, {}, {"usd": 1999})
    assert truth["canceled"] == [held.id]
    refused = await failure(own_api.intents.capture_async(held.id), InvalidRequestError)
    assert refused.code == UNEXPECTED
    assert (await told(own_api, held.id, charge.id))[3:] == ["payment_intent.canceled"]


async def test_an_authorization_expires_after_seven_days(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    own_sandbox.control("POST", "clock", {"advance_s": 7 * DAY_S - 60})
    assert (await own_api.intents.retrieve_async(held.id)).status == "requires_capture"
    own_sandbox.control("POST", "clock", {"advance_s": 120})

    expired = await own_api.intents.retrieve_async(held.id)
    assert (expired.status, expired.cancellation_reason) == ("canceled", "expired")
    assert expired.canceled_at == held.latest_charge.created + 7 * DAY_S
    truth = own_sandbox.truth("held")
    assert (truth["released"], truth["canceled"], truth["charges"]) == ({"usd": 1999}, [held.id], 0)
    assert (await told(own_api, held.id, held.latest_charge.id))[3:] == ["charge.expired", "payment_intent.canceled"]
    assert (await failure(own_api.intents.capture_async(held.id), InvalidRequestError)).code == UNEXPECTED


async def test_an_aged_authorization_has_expired(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    own_sandbox.control("POST", "age", {"seconds": 7 * DAY_S})
    aged = await own_api.intents.retrieve_async(held.id, {"expand": ["latest_charge"]})
    card = aged.latest_charge.payment_method_details.card
    assert card.capture_before == held.latest_charge.created
    assert aged.status == "canceled"


async def test_what_was_captured_does_not_expire(own_sandbox: SandboxProcess, own_api: Api) -> None:
    held = await hold(own_api)
    await own_api.intents.capture_async(held.id)
    own_sandbox.control("POST", "clock", {"advance_s": 8 * DAY_S})
    assert (await own_api.intents.retrieve_async(held.id)).status == "succeeded"
    assert own_sandbox.truth("held")["canceled"] == []
