"""What the state of a PaymentIntent says about its capture or cancellation. Pure.

A change is done when the PaymentIntent shows it, whoever did it; it is refused when another end makes it impossible.
Only the object is believed: a refusal may be a saved one, and the payment may have changed since. While it is neither,
the change is sent again, under another key: Stripe keeps a refusal for a day (R37). That moves money no second time,
because a PaymentIntent is captured or canceled once.
"""

from dataclasses import replace

from service.changes.effect import OpenChange
from service.effects.answers import ask_again, mismatch
from service.effects.model import Outcome
from service.effects.refusals import Fault, fault_of
from service.states import CHARGE_PROVEN, ChangeKind, WaitsFor
from service.stripe_gateway.objects import Answer, Intent

_DONE: dict[ChangeKind, str] = {"capture": "succeeded", "cancel": "canceled"}
# Stripe's states of a PaymentIntent in which it may be asked for.
_POSSIBLE: dict[ChangeKind, frozenset[str]] = {
    "capture": frozenset({"requires_capture"}),
    "cancel": frozenset({"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}),
}
# The authorization is gone, and the payment is where a decline would have left it.
_LOST = "requires_payment_method"


def spoken(change: OpenChange, answer: Answer) -> Outcome | None:
    """Stripe's word about the key: the PaymentIntent, also inside an error.

    The replay of a capture may be as old as its key, and tell of no moment at which the money was taken: then the
    PaymentIntent is asked for.
    """
    if answer.intent is None:
        return None
    outcome = judge_intent(change, answer.intent)
    if outcome.final and change.kind == "capture" and answer.replayed and answer.intent.charged_at is None:
        return replace(_present_state(change), next_try=False)
    return outcome if outcome.final else replace(_present_state(change), intent=outcome.intent)


def refused(change: OpenChange, answer: Answer) -> Outcome | None:
    """A refusal that is not of our request's form, or of our account: the present state tells what it means."""
    if fault_of(answer.error) in (Fault.FORM, Fault.ACCOUNT):
        return None
    return _present_state(change)


def judge_retrieve(change: OpenChange, answer: Answer) -> Outcome:
    """What the answer to a GET of the PaymentIntent means."""
    if answer.http_status == 200 and answer.intent is not None:
        return judge_intent(change, answer.intent)
    if answer.http_status == 404:
        alarm = {"alarm": "Stripe has no such PaymentIntent"}
        return replace(ask_again(change, answer), waits_for="human", entry=alarm)
    return ask_again(change, answer)


def judge_intent(change: OpenChange, intent: Intent) -> Outcome:
    """What the PaymentIntent says. Untrusted until it is this charge's in every respect we know (R15, R19)."""
    if not change.charge.matches(intent):
        return replace(mismatch(change), waits_for="human")
    if intent.status == _DONE[change.kind]:
        return Outcome(status="done", intent=intent)
    if intent.status in CHARGE_PROVEN or (change.kind == "capture" and intent.status == _LOST):
        return Outcome(status="refused", intent=intent)
    if intent.status in _POSSIBLE[change.kind]:
        return Outcome(
            status="sending",
            next_call="send",
            proven_unexecuted=change.first_send,
            next_try=not change.first_send,
            intent=intent,
            waits_for="stripe",
        )
    turn: WaitsFor = "bank" if intent.status == "processing" else "human"
    return Outcome(status="sending", next_call="retrieve", intent=intent, waits_for=turn)


def _present_state(change: OpenChange) -> Outcome:
    """Ask for the PaymentIntent at once; this key is used up."""
    return Outcome(
        status="sending",
        next_call="retrieve",
        next_try=True,
        unclear_answers=change.unclear_answers,
        retry_s=0.0,
    )
