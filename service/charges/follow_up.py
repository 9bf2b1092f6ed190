"""What the answer to a call about a known PaymentIntent means, and what a call means that was not made. Pure."""

from dataclasses import replace

from service.charges.answers import judge_intent, undecided
from service.charges.model import OpenCharge, Outcome, Refusal
from service.charges.refusals import reason_of
from service.stripe_gateway.objects import Answer

_ABANDONED = "abandoned before the call: the lease was too short for it"


def judge_retrieve(charge: OpenCharge, answer: Answer) -> Outcome:
    """What the answer to a GET of the known PaymentIntent means. The present state decides, not a saved body."""
    if answer.http_status == 200 and answer.intent is not None:
        return judge_intent(charge, answer.intent, answer)
    if answer.http_status == 404:
        return replace(
            _ask_again(charge, answer), waits_for="human", entry={"alarm": "Stripe has no such PaymentIntent"}
        )
    return _ask_again(charge, answer)


def judge_cancel(charge: OpenCharge, answer: Answer) -> Outcome:
    """What the answer to a cancellation means. Only `canceled` is taken from it; whatever else it says, the payment's
    present state is asked for next: it may have succeeded meanwhile, and a refusal may be a saved one.
    """
    if answer.http_status == 200 and answer.intent is not None and answer.intent.status == "canceled":
        return judge_intent(charge, answer.intent, answer)
    asked = _ask_again(charge, answer)
    if answer.http_status is None or answer.http_status in (401, 403, 409, 429):
        return asked
    if answer.http_status >= 500:  # perhaps a saved one: the next try has a key of its own
        return replace(asked, cancel_refused=True)
    return replace(asked, cancel_refused=True, waits_for="cancellation")


def _ask_again(charge: OpenCharge, answer: Answer) -> Outcome:
    """Nothing new is known of a payment whose id is known: it is asked for again."""
    return Outcome(
        status=undecided(charge),
        next_call="retrieve",
        unclear_answers=charge.unclear_answers,
        refusal=Refusal("key", reason_of(answer.word, answer.error)) if answer.http_status in (401, 403) else None,
        retry_s=answer.retry_after_s,
    )


def abandoned(charge: OpenCharge) -> Outcome:
    """Not called after all. A first send that was never made is proven not to have run."""
    return Outcome(
        status="sending" if charge.first_send else charge.status,
        next_call=charge.call,
        proven_unexecuted=charge.first_send,
        unclear_answers=charge.unclear_answers,
        retry_s=0.0,
        entry={"answer": _ABANDONED},
    )
