"""What it means that Stripe's lists do not show what was perhaps sent (R17, R18). Pure: listing is the caller's.

A hit is a fact at any age. A complete miss is one only when nothing can be on its way any more. An incomplete listing
says nothing.
"""

from service.effects.model import Effect, Outcome, Rules
from service.effects.parking import KEY_AT_STRIPE, LOOK_UPS_INCONCLUSIVE

STRIPE_FORGETS_S = 86_400.0  # a key this old is a new one to Stripe
# Look-ups still inconclusive so many seconds after a miss would have counted: a human is asked.
HOPELESS_AFTER_S = 3_600


def not_shown(effect: Effect, never_executed: Outcome, rules: Rules, *, complete: bool) -> Outcome:
    """What a listing that does not show the effect means. `never_executed`: what follows once a miss is conclusive."""
    if not complete:
        return hopeless(effect, rules) or _ask_again(effect)
    if effect.key_conflict:
        return Outcome(
            status=effect.undecided, next_call="lookup", unclear_answers=effect.unclear_answers, parked=KEY_AT_STRIPE
        )
    since = effect.since_last_send_s
    if since is None:
        # What is owed is old, and met for the first time: nothing of it is at Stripe, so it is sent as if new (R17).
        return Outcome(status=effect.unsent, next_call="send", proven_unexecuted=True, retry_s=0.0)
    if since >= rules.miss_counts_after_s:
        return never_executed
    key_is_young = effect.age_s is not None and effect.age_s < rules.key_age_max_s
    if key_is_young and not _answer_is_saved(effect):
        # Within the key's life another send of the same bytes is always safe, and the only way to an answer.
        return Outcome(status=effect.undecided, next_call="send", unclear_answers=effect.unclear_answers)
    return _ask_again(effect)


def _answer_is_saved(effect: Effect) -> bool:
    """Whether Stripe has saved an error under this key: then every re-send brings that error again."""
    return any(h.get("replayed") and str(h.get("answer", "")).startswith("5") for h in effect.history)


def _ask_again(effect: Effect) -> Outcome:
    return Outcome(status=effect.undecided, next_call="lookup", unclear_answers=effect.unclear_answers)


def hopeless(effect: Effect, rules: Rules) -> Outcome | None:
    """Long past the moment a look-up would have counted, and still none was conclusive: a human's turn (R10)."""
    since = effect.since_last_send_s or effect.age_s or 0.0
    if since < rules.miss_counts_after_s + HOPELESS_AFTER_S:
        return None
    return Outcome(
        status=effect.undecided,
        next_call="lookup",
        unclear_answers=effect.unclear_answers,
        parked=LOOK_UPS_INCONCLUSIVE,
    )
