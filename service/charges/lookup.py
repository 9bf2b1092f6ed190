"""Asking Stripe's lists what became of a charge whose answer was lost (R18). Pure: listing is the caller's.

A hit is a fact at any age. A complete miss is one only when nothing can be on its way any more. An incomplete listing
says nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.charges.answers import judge_intent
from service.charges.model import OpenCharge, Outcome, Rules
from service.charges.parking import KEY_AT_STRIPE, LOOK_UPS_INCONCLUSIVE
from service.stripe_gateway.objects import Answer, Intent

STRIPE_FORGETS_S = 86_400.0  # a key this old is a new one to Stripe
_CONFLICT_REACH_S = 2 * STRIPE_FORGETS_S  # Stripe promises to keep a key for a day, and may keep it longer
# How long after a look-up would have counted one may still be impossible, before a human is asked.
HOPELESS_AFTER_S = 3_600


@dataclass(frozen=True, slots=True)
class Window:
    """Created in [gte, lt), Unix seconds; of one customer, or of all."""

    gte: int
    lt: int
    customer: str | None


def windows(charges: Sequence[OpenCharge], rules: Rules) -> list[Window]:
    """The listings that together show every PaymentIntent these charges can have made: overlapping ones are merged."""
    wanted = sorted(
        (Window(start, end, c.customer) for c in charges for start, end in _sends(c, rules)),
        key=lambda w: (w.customer or "", w.gte),
    )
    merged: list[Window] = []
    for window in wanted:
        last = merged[-1] if merged else None
        if last and last.customer == window.customer and window.gte <= last.lt:
            merged[-1] = Window(last.gte, max(last.lt, window.lt), window.customer)
        else:
            merged.append(window)
    return merged


def _sends(charge: OpenCharge, rules: Rules) -> Iterable[tuple[int, int]]:
    """Around each moment a request of this charge may have reached Stripe, a send's lease long."""
    # How far Stripe's clock may be off before sending stops (R28): a call's own length may hide as much again.
    off = int(rules.clock_skew_max_s + rules.lease_s) + 1
    if charge.key_conflict and charge.first_sent_at is not None:
        # What has the key was made before this charge was refused for it.
        return [
            (int(charge.first_sent_at.timestamp() - _CONFLICT_REACH_S), int(charge.opened_at.timestamp()) + off + 1)
        ]
    moments = [datetime.fromisoformat(h["at"]).timestamp() for h in charge.history if h.get("call") == "send"]
    if moments:
        reach = int(rules.lease_s) + off + 1
        sends = [(int(moment) - off, int(moment) + reach) for moment in moments]
        # A key perhaps sent in a life that this database forgot is looked for from then on (R17).
        if charge.first_sent_at is not None and (since := int(charge.first_sent_at.timestamp())) < int(moments[0]):
            sends[0] = (since - off, sends[0][1])
        return sends
    # Never sent as far as this database remembers (restored, or first opened a day late): the order's whole life.
    born, now = charge.order_created_at.timestamp(), charge.opened_at.timestamp()
    return [(int(born) - off, int(now) + off + 1)]


def judge_lookup(charge: OpenCharge, found: Sequence[Intent], *, complete: bool, rules: Rules) -> Outcome:
    """What a listing shows of this charge. `found`: PaymentIntents with its metadata, amount and currency."""
    if found:
        outcome = judge_intent(charge, _strongest(found), Answer(http_status=200))
        # A state that no confirmed card payment can be in is asked for again, but not for ever.
        return (_hopeless(charge, rules) or outcome) if outcome.status == "unknown" else outcome
    if not complete:
        return _hopeless(charge, rules) or _ask_again(charge)
    return _missed(charge, rules)


def _strongest(found: Sequence[Intent]) -> Intent:
    """A success outranks all else; two of them are reconciliation's to report."""
    return min(found, key=lambda intent: (intent.status != "succeeded", intent.created, intent.id))


def _missed(charge: OpenCharge, rules: Rules) -> Outcome:
    """Every page was read and the charge is on none of them."""
    if charge.key_conflict:
        return Outcome(
            status="unknown", next_call="lookup", unclear_answers=charge.unclear_answers, parked=KEY_AT_STRIPE
        )
    since = charge.since_last_send_s
    if since is None:
        # An old order met for the first time: nothing of it is at Stripe, so it may be sent like a new one (R17).
        return Outcome(status="sending", next_call="send", proven_unexecuted=True, retry_s=0.0)
    if since >= rules.miss_counts_after_s:
        failure = {"code": "never_executed", "decline_code": None, "message": "Stripe never received this charge."}
        return Outcome(status="declined", order_status="failed", failure=failure)
    key_is_young = charge.age_s is not None and charge.age_s < rules.key_age_max_s
    if key_is_young and not _answer_is_saved(charge):
        # Within the key's life another send of the same bytes is always safe, and the only way to an answer.
        return Outcome(status="unknown", next_call="send", unclear_answers=charge.unclear_answers)
    return _ask_again(charge)


def _answer_is_saved(charge: OpenCharge) -> bool:
    """Whether Stripe has saved an error under this key: then every re-send brings that error again."""
    return any(h.get("replayed") and str(h.get("answer", "")).startswith("5") for h in charge.history)


def _ask_again(charge: OpenCharge) -> Outcome:
    return Outcome(status="unknown", next_call="lookup", unclear_answers=charge.unclear_answers)


def _hopeless(charge: OpenCharge, rules: Rules) -> Outcome | None:
    """Long past the moment a look-up would have counted, and still none was conclusive: a human's turn (R10)."""
    since = charge.since_last_send_s or charge.age_s or 0.0
    if since < rules.miss_counts_after_s + HOPELESS_AFTER_S:
        return None
    return Outcome(
        status="unknown", next_call="lookup", unclear_answers=charge.unclear_answers, parked=LOOK_UPS_INCONCLUSIVE
    )
