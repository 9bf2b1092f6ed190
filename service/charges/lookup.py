"""Where in Stripe's list of PaymentIntents a lost charge must be, and what is found there (R18). Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.charges.answers import judge_intent
from service.charges.model import OpenCharge
from service.effects.lookup import STRIPE_FORGETS_S, hopeless, not_shown
from service.effects.model import Outcome, Rules
from service.orders.model import NEVER_EXECUTED
from service.stripe_gateway.objects import Answer, Intent

_CONFLICT_REACH_S = 2 * STRIPE_FORGETS_S  # Stripe promises to keep a key for a day, and may keep it longer


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
    born, now = charge.born_at.timestamp(), charge.opened_at.timestamp()
    return [(int(born) - off, int(now) + off + 1)]


def judge_lookup(charge: OpenCharge, found: Sequence[Intent], *, complete: bool, rules: Rules) -> Outcome:
    """What a listing shows of this charge. `found`: PaymentIntents with its metadata, amount and currency."""
    if not found:
        failure = {"code": NEVER_EXECUTED, "decline_code": None, "message": "Stripe never received this charge."}
        never = Outcome(status="declined", order_status="failed", failure=failure)
        return not_shown(charge, never, rules, complete=complete)
    outcome = judge_intent(charge, _strongest(found), Answer(http_status=200))
    # A state that no confirmed payment can be in is asked for again, but not for ever.
    return (hopeless(charge, rules) or outcome) if outcome.status == "unknown" else outcome


def _strongest(found: Sequence[Intent]) -> Intent:
    """A success outranks all else; two of them are reconciliation's to report."""
    return min(found, key=lambda intent: (intent.status != "succeeded", intent.created, intent.id))
