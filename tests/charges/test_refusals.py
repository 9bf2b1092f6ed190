"""Whose fault a refusal is: a table with a row for each error code that the installed SDK lists (R33)."""

import typing
from datetime import timedelta

import pytest
import stripe

from service.charges import CHARGE
from service.effects.answers import judge_send
from service.effects.model import Outcome, Refusal
from service.effects.patience import give_up_alone
from service.effects.refusals import FAULTS, Fault, fault_of
from service.stripe_gateway.objects import Answer, ErrorBody
from tests.charges.answers import HOUR, NOW, RULES, charge, error, intent, resent

KIND = "invalid_request_error"


def literals(annotation: object) -> set[str]:
    """The words in a type."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(literals, typing.get_args(annotation)))


CODES = sorted(literals(stripe.PaymentIntent.LastPaymentError.__annotations__["code"]))


def refused(code: str | None = None, *, kind: str = KIND, status: int = 400, **fields: str) -> Answer:
    return error(status, kind, code=code, **fields)


def test_every_code_of_the_sdk_is_judged_and_no_other() -> None:
    assert len(CODES) > 200
    assert FAULTS.keys() == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_fails_the_order_only_where_it_is_the_orders_fault(code: str) -> None:
    first, again = (
        judge_send(CHARGE, charge(), refused(code)),
        judge_send(CHARGE, resent(), refused(code)),
    )
    if FAULTS[code] is Fault.ORDER:
        assert (first.status, first.order_status, first.refusal) == ("declined", "failed", None)
    else:
        assert (first.status, first.order_status, first.next_call) == ("sending", None, "send")
        assert first.proven_unexecuted, "it was refused before anything ran, so the same key may be sent again"
        assert first.refusal is not None
        assert first.refusal.about == ("form" if FAULTS[code] is Fault.FORM else "other")
        assert first.entry["fault"] == FAULTS[code].value, "the timeline says whose fault it is"
    assert (again.status, again.order_status, again.next_call) == ("unknown", None, "lookup")
    assert again.refusal is None, "an answer to a re-send never counts"
    assert not again.proven_unexecuted


# What Stripe's own page of error codes says of them, in short.
TOLD = {
    "card_declined": Fault.ORDER,
    "amount_too_small": Fault.ORDER,
    "expired_card": Fault.ORDER,
    "payment_method_currency_mismatch": Fault.ORDER,
    "parameter_unknown": Fault.FORM,
    "parameter_missing": Fault.FORM,
    "parameters_exclusive": Fault.FORM,
    "payment_evaluation_on_api_version_not_supported": Fault.FORM,
    "testmode_charges_only": Fault.ACCOUNT,
    "platform_api_key_expired": Fault.ACCOUNT,
    "secret_key_required": Fault.ACCOUNT,
    "invoice_not_editable": Fault.UNKNOWN,
    "terminal_reader_busy": Fault.UNKNOWN,
    "payouts_not_allowed": Fault.UNKNOWN,
}


@pytest.mark.parametrize("code", TOLD)
def test_the_table_says_what_the_codes_mean(code: str) -> None:
    assert FAULTS[code] is TOLD[code]


@pytest.mark.parametrize("param", ["payment_method", "customer", "amount", "currency", "description", "metadata[cart]"])
@pytest.mark.parametrize(
    "code", [None, "resource_missing", "parameter_invalid_empty", "parameter_missing", "of tomorrow"]
)
def test_what_names_the_orders_own_data_is_the_orders_fault_whatever_its_code(param: str, code: str | None) -> None:
    assert judge_send(CHARGE, charge(), refused(code, param=param)).order_status == "failed"


@pytest.mark.parametrize("param", ["metadata", "metadata[eo_order]", "confirm", "payment_method_types", "amounts", ""])
def test_what_names_something_else_fails_no_order(param: str) -> None:
    for code in (None, "resource_missing", "parameter_invalid_empty", "of tomorrow"):
        assert judge_send(CHARGE, charge(), refused(code, param=param)).order_status is None


@pytest.mark.parametrize("code", ["parameter_unknown", "payment_method_types_no_longer_supported"])
@pytest.mark.parametrize("param", ["payment_method", "amount", "payment_method_types"])
def test_a_name_that_stripe_does_not_know_is_our_fault_whichever_it_is(code: str, param: str) -> None:
    assert fault_of(ErrorBody(type=KIND, code=code, param=param)) is Fault.FORM


@pytest.mark.parametrize(
    "message",
    ["Invalid Stripe API version: 2031-01-01.tundra", "Your Idempotency-Key is too long", "Bad idempotent key"],
)
def test_our_headers_are_our_fault(message: str) -> None:
    assert fault_of(ErrorBody(type=KIND, message=message)) is Fault.FORM
    assert fault_of(ErrorBody(type=KIND, code="resource_missing", message=message)) is Fault.UNKNOWN


def test_a_cards_error_is_the_orders_whatever_its_status_and_code() -> None:
    assert judge_send(CHARGE, charge(), refused("of tomorrow", kind="card_error")).order_status == "failed"


def test_a_missing_address_is_nobodys_order() -> None:
    assert judge_send(CHARGE, charge(), refused(None, status=404)).order_status is None


def test_a_saved_refusal_is_looked_up_for_something_did_run_under_this_key() -> None:
    replayed = judge_send(CHARGE, charge(), error(400, KIND, code="payment_intent_unexpected_state", replayed=True))
    assert (replayed.status, replayed.next_call, replayed.proven_unexecuted) == ("unknown", "lookup", False)
    body = ErrorBody(type=KIND, code="payment_intent_unexpected_state", payment_intent=intent("canceled"))
    about = Answer(http_status=400, error=body, intent=body.payment_intent, request_id="req_1")
    assert judge_send(CHARGE, charge(), about).next_call == "lookup"


def test_the_reason_names_a_parameter_and_never_a_value() -> None:
    secret = "number 4242424242424242"
    named = judge_send(CHARGE, charge(), refused("parameter_unknown", param="payment_method_types", message=secret))
    odd = judge_send(CHARGE, charge(), refused("parameter_unknown", param=secret, message=secret))
    assert named.refusal == Refusal("form", "400 parameter_unknown (payment_method_types)")
    assert odd.refusal == Refusal("form", "400 parameter_unknown")
    assert secret not in str(named.entry) + str(odd.entry)


# --- an order that is refused alone


def _refused_for(hours: float, about: typing.Literal["key", "form", "other"] = "other") -> Outcome:
    first = (NOW - timedelta(hours=hours)).isoformat()
    outcome = Outcome(status="sending", proven_unexecuted=True, refusal=Refusal(about, "400 of tomorrow"))
    return give_up_alone(charge(history=({"at": first, "call": "send"},)), outcome, RULES)


def test_an_order_that_stripe_alone_refuses_is_given_to_a_human_in_the_end() -> None:
    horizon = RULES.key_age_max_s / HOUR.total_seconds()
    assert _refused_for(horizon - 0.01).parked is None
    parked = _refused_for(horizon).parked
    assert parked is not None
    assert parked.startswith("refused: 400 of tomorrow")
    assert give_up_alone(charge(), Outcome(status="sending"), RULES).parked is None


def test_a_refused_key_parks_no_order_however_long_it_lasts() -> None:
    assert _refused_for(1000, "key").parked is None
