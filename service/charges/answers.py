"""What Stripe's word about a charge means: the PaymentIntent as it is shown, or a decline. Pure."""

from dataclasses import replace
from typing import Final

from service.charges.model import OpenCharge
from service.effects.answers import ask_again, mismatch
from service.effects.model import Outcome
from service.effects.refusals import Fault, fault_of
from service.states import WAITS_AS, WHOSE_TURN
from service.stripe_gateway.objects import Answer, ErrorBody, Intent

# Declined, and nothing more will come of it by itself.
_INTENT_IS_DEAD = "requires_payment_method"
# Stripe's word for why we canceled a declined payment before the next attempt (R25).
BEFORE_ANOTHER_ATTEMPT: Final = "duplicate"
_ANSWERED_IN_S = 80  # Stripe gives a request no longer: a charge is at most so much younger than its PaymentIntent
_DAY_S = 86_400


def spoken(charge: OpenCharge, answer: Answer) -> Outcome | None:
    """Stripe's own word about this key: an object, or a decline with the object inside."""
    if answer.intent is not None:
        outcome = judge_intent(charge, answer.intent, answer)
        return _ask_for_its_moment(charge, answer.intent) if _may_be_of_another_day(outcome) else outcome
    if answer.http_status == 402 and answer.error is not None:
        return _declined(None, answer.error)
    return None


def refused(answer: Answer) -> Outcome | None:
    """A first send was refused for what this order itself says: a definitive decline."""
    error = answer.error
    if error is None or fault_of(error) is not Fault.ORDER:
        return None
    failure = {"code": error.code or error.type, "decline_code": None, "message": error.message}
    return Outcome(status="declined", order_status="failed", failure=failure)


def judge_retrieve(charge: OpenCharge, answer: Answer) -> Outcome:
    """What the answer to a GET of the known PaymentIntent means. The present state decides, not a saved body."""
    if answer.http_status == 200 and answer.intent is not None:
        return judge_intent(charge, answer.intent, answer)
    if answer.http_status == 404:
        return replace(
            ask_again(charge, answer), waits_for="human", entry={"alarm": "Stripe has no such PaymentIntent"}
        )
    return ask_again(charge, answer)


def judge_intent(charge: OpenCharge, intent: Intent, answer: Answer) -> Outcome:
    """A PaymentIntent that Stripe showed us. Untrusted until it is ours in every respect we know (R15, R19)."""
    if not charge.matches(intent):
        return mismatch(charge)
    if intent.status == "succeeded":
        if intent.charge_id is None or not _may_be_received(charge, intent.amount_received):
            return mismatch(charge)
        return Outcome(status="succeeded", order_status="paid", intent=intent)
    if intent.status == "canceled" and _was_declined(intent):
        return _declined(intent, None)  # as a forgetful database meets it
    if intent.status == "canceled":
        return Outcome(status="canceled", order_status="canceled", intent=intent)
    if state := WAITS_AS.get(intent.status):
        turn = WHOSE_TURN[state]
        return Outcome(status=state, order_status=state, next_call="retrieve", intent=intent, waits_for=turn)
    if intent.status == _INTENT_IS_DEAD and (answer.http_status == 402 or intent.last_payment_error is not None):
        return _declined(intent, answer.error)
    # requires_confirmation or a status of tomorrow: not what a confirmed payment can be.
    odd = Outcome(status=charge.undecided, next_call="retrieve", intent=intent, waits_for="human")
    return replace(odd, unclear_answers=charge.unclear_answers + 1, retry_s=answer.retry_after_s)


def _was_declined(intent: Intent) -> bool:
    """Whether it was declined before we canceled it. Somebody may give the same reason for what is held, or asked."""
    return intent.cancellation_reason == BEFORE_ANOTHER_ATTEMPT and intent.last_payment_error is not None


def _may_be_received(charge: OpenCharge, amount: int) -> bool:
    """Whether Stripe may have taken this much: all, or what was captured of an authorization. 0: it does not say."""
    return amount in (charge.amount, 0) or (charge.capture == "manual" and 0 < amount < charge.amount)


def _may_be_of_another_day(outcome: Outcome) -> bool:
    """Whether a success's charge may have been made on another UTC day than its PaymentIntent, just before midnight.

    The answer to a POST does not show the charge: showing it would cost every order what these few need.
    """
    intent = outcome.intent
    if outcome.status != "succeeded" or intent is None or intent.charged_at is not None:
        return False
    return intent.created // _DAY_S != (intent.created + _ANSWERED_IN_S) // _DAY_S


def _ask_for_its_moment(charge: OpenCharge, intent: Intent) -> Outcome:
    return Outcome(
        status=charge.undecided,
        next_call="retrieve",
        unclear_answers=charge.unclear_answers,
        intent=intent,
        retry_s=0.0,
    )


def _declined(intent: Intent | None, error: ErrorBody | None) -> Outcome:
    last = intent.last_payment_error if intent else None
    source = error or last
    failure = {
        "code": (source.code if source else None) or "card_declined",
        "decline_code": source.decline_code if source else None,
        "message": source.message if source else None,
    }
    return Outcome(status="declined", order_status="failed", intent=intent, failure=failure)
