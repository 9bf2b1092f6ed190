"""The answer table: what one answer of Stripe means for one charge.

The same words mean different things on a first send and on a re-send: a 429, 401, 404 or 409 to a re-send says nothing
about the first one, which may have taken the money. Only a success, a decline or an object can speak for both.
Sources: R15, R16, R18, R20 and R33 of docs/rules.md; Stripe's idempotency rules (which answers are saved, and which
never are).
"""

from dataclasses import replace

from service.charges.model import OpenCharge, Outcome, Refusal
from service.charges.refusals import Fault, fault_of, reason_of
from service.states import CHARGE_WAITS_AT_STRIPE, WHOSE_TURN
from service.stripe_gateway.objects import Answer, ErrorBody, Intent

# Declined, and nothing more will come of it by itself.
_INTENT_IS_DEAD = "requires_payment_method"
_ANSWERED_IN_S = 80  # Stripe gives a request no longer: a charge is at most so much younger than its PaymentIntent
_DAY_S = 86_400


def judge_send(charge: OpenCharge, answer: Answer) -> Outcome:
    """What the answer to a POST of the stored request means."""
    status = answer.http_status
    if status is None:
        return _no_answer(charge, answer)
    if status in (200, 402):
        return _spoken(charge, answer)
    if status in (401, 403):
        return _unexecuted(charge, answer, refusal=Refusal("key", reason_of(answer.word, answer.error)))
    if status == 429:
        return _unexecuted(charge, answer)
    if status == 409:
        return _still_open(charge, answer)
    if status in (400, 404):
        return _refused(charge, answer)
    return _unclear(charge, answer, look_up=True)


def judge_intent(charge: OpenCharge, intent: Intent, answer: Answer) -> Outcome:
    """A PaymentIntent that Stripe showed us. Untrusted until it is ours in every respect we know (R15, R19)."""
    if not charge.matches(intent):
        return _mismatch(charge)
    if intent.status == "succeeded":
        if intent.charge_id is None or intent.amount_received not in (charge.amount, 0):
            return _mismatch(charge)
        return Outcome(status="succeeded", order_status="paid", intent=intent)
    if intent.status == "canceled":
        return Outcome(status="canceled", order_status="canceled", intent=intent)
    if turn := WHOSE_TURN.get(intent.status):
        state = intent.status
        return Outcome(status=state, order_status=state, next_call="retrieve", intent=intent, waits_for=turn)
    if intent.status == _INTENT_IS_DEAD and (answer.http_status == 402 or intent.last_payment_error is not None):
        return _declined(intent, answer.error)
    # requires_confirmation, requires_capture or a status of tomorrow: not what a confirmed card payment can be.
    odd = Outcome(status=undecided(charge), next_call="retrieve", intent=intent, waits_for="human")
    return replace(odd, unclear_answers=charge.unclear_answers + 1, retry_s=answer.retry_after_s)


def undecided(charge: OpenCharge) -> str:
    """The state of a charge about which nothing new is known."""
    return charge.status if charge.status in CHARGE_WAITS_AT_STRIPE else "unknown"


def _spoken(charge: OpenCharge, answer: Answer) -> Outcome:
    """Stripe's own word about this key: an object, or a decline with the object inside."""
    if answer.intent is not None:
        outcome = judge_intent(charge, answer.intent, answer)
        return _ask_for_its_moment(charge, answer.intent) if _may_be_of_another_day(outcome) else outcome
    if answer.http_status == 402 and answer.error is not None:
        return _declined(None, answer.error)
    return _unclear(charge, answer, look_up=True)


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
        status=undecided(charge),
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


def _refused(charge: OpenCharge, answer: Answer) -> Outcome:
    """400 or 404. On a re-send it cannot be Stripe's memory of the first; on a first send it depends whose fault it is.

    What is not this order's fault fails no order (R33).
    """
    error = answer.error
    if error is not None and error.type == "idempotency_error":
        # Stripe has this key for another request: of a life that this database forgot, or of another system. It is
        # looked up, and never posted again (R32).
        return Outcome(
            status="unknown",
            next_call="lookup",
            unclear_answers=charge.unclear_answers + 1,
            key_conflict=True,
            retry_s=0.0,
        )
    if not charge.first_send:
        return _unclear(charge, answer, look_up=True)
    fault = fault_of(error)
    if fault is Fault.ORDER and error is not None:
        failure = {"code": error.code or error.type, "decline_code": None, "message": error.message}
        return Outcome(status="declined", order_status="failed", failure=failure)
    if answer.replayed or answer.intent is not None:
        # A saved answer, or one about an object: something of this key did run once, in a life that we forgot.
        return _unclear(charge, answer, look_up=True)
    return _refused_us(answer, fault)


def _refused_us(answer: Answer, fault: Fault) -> Outcome:
    """A first send that was refused before anything ran, for a reason that is not this order's (R16, R33)."""
    reason = reason_of(answer.word, answer.error)
    return Outcome(
        status="sending",
        next_call="send",
        proven_unexecuted=True,
        refusal=Refusal("form" if fault is Fault.FORM else "other", reason),
        retry_s=answer.retry_after_s,
        entry={"refused": reason, "fault": fault.value},
    )


def _unexecuted(charge: OpenCharge, answer: Answer, *, refusal: Refusal | None = None) -> Outcome:
    """An answer that proves that *this* request did not run. It proves nothing about an earlier one (R16)."""
    if charge.first_send:
        return Outcome(
            status="sending", next_call="send", proven_unexecuted=True, refusal=refusal, retry_s=answer.retry_after_s
        )
    return _still_open(charge, answer, refusal=refusal)


def _still_open(charge: OpenCharge, answer: Answer, *, refusal: Refusal | None = None) -> Outcome:
    """An answer that says nothing of this charge: the same call is made again."""
    return Outcome(
        status="unknown",
        next_call=charge.call,
        unclear_answers=charge.unclear_answers,
        refusal=refusal,
        retry_s=answer.retry_after_s,
    )


def _no_answer(charge: OpenCharge, answer: Answer) -> Outcome:
    if answer.nothing_sent:
        return _unexecuted(charge, answer)
    # A lost reply: Stripe remembers it, so the same bytes again bring the answer. After the second, look up.
    return _unclear(charge, answer, look_up=charge.unclear_answers >= 1)


def _unclear(charge: OpenCharge, answer: Answer, *, look_up: bool) -> Outcome:
    known = charge.payment_intent_id is not None
    return Outcome(
        status=undecided(charge),
        next_call="retrieve" if known else "lookup" if look_up else "send",
        unclear_answers=charge.unclear_answers + 1,
        retry_s=answer.retry_after_s,
    )


def _mismatch(charge: OpenCharge) -> Outcome:
    """An object that is not what we asked for. Nothing is booked on its word; Stripe is asked another way."""
    return Outcome(
        status=undecided(charge),
        next_call="retrieve" if charge.payment_intent_id else "lookup",
        unclear_answers=charge.unclear_answers + 1,
        waits_for="human" if charge.payment_intent_id else None,
        entry={"alarm": "the answer's id, amount, currency or metadata is not this charge's"},
    )
