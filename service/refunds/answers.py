"""What Stripe's word about a refund means. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from service.effects.answers import ask_again, mismatch
from service.effects.lookup import hopeless, not_shown
from service.effects.model import Outcome, Rules
from service.effects.parking import KEY_AT_STRIPE
from service.effects.refusals import Fault, fault_of
from service.refunds.effect import OpenRefund
from service.states import REFUND_WAITS_AT_STRIPE
from service.stripe_gateway.objects import Answer, BalanceTransaction, Refund

# Refusals that are about this very refund, beside those that name one of its own parameters.
_DEFINITIVE = frozenset(
    {
        "charge_already_refunded",
        "charge_disputed",
        "charge_not_refundable",
        "payment_intent_unexpected_state",
        "refund_disputed_payment",
        "resource_missing",
    }
)
_OWN_PARAMETERS = frozenset({"amount", "charge", "payment_intent", "reason"})
# Stripe's balance is short. A refund keeps its one key for ever, so that no forgotten try can be made beside it: the
# saved refusal is replayed until Stripe forgets the key, and then the refund is made.
_SHORT = "balance_insufficient"


def spoken(refund: OpenRefund, answer: Answer) -> Outcome | None:
    """Stripe's own word about the key: the refund."""
    return None if answer.refund is None else judge_refund(refund, answer.refund)


def refused(refund: OpenRefund, answer: Answer) -> Outcome | None:
    """A first send was refused for what this refund itself asks, or because Stripe's balance is short."""
    error = answer.error
    if error is None:
        return None
    if error.code == _SHORT:
        return Outcome(status=refund.unsent, proven_unexecuted=True, waits_for="funds", entry={"refused": _SHORT})
    about_it = error.code in _DEFINITIVE or error.param in _OWN_PARAMETERS or fault_of(error) is Fault.ORDER
    if not about_it:
        return None
    failure = {"code": error.code or error.type, "decline_code": None, "message": error.message}
    return Outcome(status="failed", failure=failure)


def judge_retrieve(refund: OpenRefund, answer: Answer) -> Outcome:
    """What the answer to a GET of the known refund means."""
    if answer.http_status == 200 and answer.refund is not None:
        return judge_refund(refund, answer.refund)
    if answer.http_status == 404:
        return replace(ask_again(refund, answer), waits_for="human", entry={"alarm": "Stripe has no such refund"})
    return ask_again(refund, answer)


def judge_refund(refund: OpenRefund, shown: Refund) -> Outcome:
    """A refund that Stripe showed us. Untrusted until it is ours in every respect we know (R15, R19)."""
    if not refund.matches(shown):
        return mismatch(refund)
    waiting = Outcome(status="processing", next_call="retrieve", refund=shown, waits_for="funds")
    if shown.status == "succeeded":
        return replace(waiting, status="succeeded", waits_for=None) if _has_left(shown) else waiting
    if shown.status == "failed":
        return _failed(shown) if _is_back(shown) else waiting
    if shown.status == "canceled":
        return replace(waiting, status="canceled", waits_for=None)
    if shown.status in REFUND_WAITS_AT_STRIPE:
        return waiting
    return replace(waiting, waits_for="human")


def _has_left(shown: Refund) -> bool:
    """Whether the movement of Stripe's balance is shown, which is what is booked."""
    return isinstance(shown.balance_transaction, BalanceTransaction)


def _is_back(shown: Refund) -> bool:
    """Whether nothing had left the balance, or what had left is shown to be back."""
    return shown.balance_transaction is None or isinstance(shown.failure_balance_transaction, BalanceTransaction)


def _failed(shown: Refund) -> Outcome:
    failure = {"code": shown.failure_reason or "failed", "decline_code": None, "message": None}
    return Outcome(status="failed", refund=shown, failure=failure)


def judge_lookup(refund: OpenRefund, found: Sequence[Refund], *, complete: bool, rules: Rules) -> Outcome:
    """What the list of the payment's refunds shows of this one. `found`: those that bear its name.

    One that never ran is still owed: it is sent again under the same key, and never called failed by a miss. Where
    Stripe had the key for another request, of which no refund came, the key is free once Stripe has forgotten it.
    """
    if found:
        outcome = judge_refund(refund, min(found, key=lambda one: (one.created, one.id)))
        if outcome.refund is None and refund.key_conflict:  # another sum went back under this key
            return Outcome(status=refund.undecided, next_call="lookup", parked=KEY_AT_STRIPE)
        return outcome if outcome.refund is not None else (hopeless(refund, rules) or outcome)
    again = Outcome(status=refund.unsent, next_call="send", proven_unexecuted=True, retry_s=0.0)
    if complete and refund.key_conflict:
        is_free = (refund.since_last_send_s or rules.miss_counts_after_s) >= rules.miss_counts_after_s
        return again if is_free else Outcome(status=refund.undecided, next_call="lookup")
    return not_shown(refund, again, rules, complete=complete)
