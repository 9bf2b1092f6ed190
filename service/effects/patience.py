"""How what has no end yet at Stripe is waited for: how often it is asked for, and how each wait ends (R25, R36).

Every fact of Stripe's that is not an end names whose turn it is. Each of these waits has a bound, counted from the
making of Stripe's object, and an end: the payment is canceled at Stripe, or a human is asked. What is no fact (a lost
reply, a 429, a 500) has no bound here: it says nothing about the payment, and ends when Stripe answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import uniform

from service.effects.model import Effect, Outcome, Rules, Settlement
from service.effects.parking import Parked
from service.foundation.settings import Settings
from service.states import WaitsFor

# A payment is asked for again after a quarter of its age: within seconds while the customer is likely there, and some
# forty times in its first day.
_OF_ITS_AGE = 0.25
_SOONEST_S = 30.0
_LATEST_S = 21_600.0  # 6 h: a bank that takes days is still asked every quarter of one
_REFUSING_S = 86_400.0  # a day, in which Stripe may refuse to capture or cancel
_TRIES = 3  # refusals before a human is asked: after an outage of ours the day may be over before the first one
_A_MONTH_S = 31 * 86_400.0  # the longest that a network holds an authorization, or Stripe a refund
_GROWTH_MAX = 12  # the backoff of what is no fact doubles at most so many times


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait with an end: so many seconds from the making of the PaymentIntent, then `end`."""

    means: str
    bound_s: Callable[[Rules], float]
    end: str
    parked: str | None = None


WAITS: dict[WaitsFor, Wait] = {
    "customer": Wait(
        means="`requires_action`: 3-D Secure is not finished",
        bound_s=lambda rules: rules.action_max_s,
        end="canceled at Stripe; the order follows Stripe's answer",
    ),
    "bank": Wait(
        means="`processing`: the bank takes its time",
        bound_s=lambda rules: rules.bank_max_s,
        end="parked",
        parked="still processing at Stripe",
    ),
    "merchant": Wait(
        means="`requires_capture`: authorized, and neither captured nor canceled",
        bound_s=lambda rules: _A_MONTH_S,  # noqa: ARG005  Stripe ends it after seven days, some networks later
        end="parked",
        parked="still authorized at Stripe",
    ),
    "stripe": Wait(
        means="Stripe refused to capture or to cancel, and the payment has no end either",
        bound_s=lambda rules: _REFUSING_S,  # noqa: ARG005  counted from the request, not from the payment
        end="parked",
        parked="Stripe does not do it",
    ),
    "funds": Wait(
        means="a refund that is `pending` or `requires_action` at Stripe: its balance is short, or a network is slow",
        bound_s=lambda rules: _A_MONTH_S,  # noqa: ARG005  the same everywhere
        end="parked",
        parked="still pending at Stripe",
    ),
    "human": Wait(
        means="a state that nothing of ours can be in (`requires_confirmation`, one of tomorrow), an object that "
        "Stripe does not have, or one whose sum or metadata is not what was asked for",
        bound_s=lambda rules: rules.action_max_s,
        end="parked",
        parked="not what anything of ours can be",
    ),
}


def with_an_end(effect: Effect, outcome: Outcome, rules: Rules) -> Outcome:
    """The outcome with the time of the next question, or with the end of its wait."""
    if outcome.waits_for is None or outcome.parked is not None:
        return outcome
    wait, age_s = WAITS[outcome.waits_for], _age_s(effect, outcome)
    left_s = wait.bound_s(rules) - age_s
    if left_s > 0 or (outcome.waits_for == "stripe" and effect.nth <= _TRIES):
        soon = outcome.waits_for == "stripe" and effect.nth == 1
        return replace(outcome, wait_s=0.0 if soon else min(_again_s(age_s), max(left_s, _SOONEST_S)))
    if wait.parked is None:
        return replace(outcome, expires=True, wait_s=_again_s(-left_s))
    shown = outcome.refund or outcome.intent
    state = shown.status if shown else outcome.entry.get("alarm", "not shown")
    return replace(outcome, parked=Parked.UNFINISHED.because(f"{wait.parked} ({state})"))


def give_up_alone(effect: Effect, outcome: Outcome, rules: Rules) -> Outcome:
    """The outcome of an order that Stripe refuses while the breaker is closed, for it takes others.

    From 20 h on that is a human's turn (R10). What refuses everybody is no order's matter and parks none.
    """
    if outcome.refusal is None or outcome.refusal.about == "key" or not effect.history:
        return outcome
    first = datetime.fromisoformat(effect.history[0]["at"])
    if (effect.opened_at - first).total_seconds() < rules.key_age_max_s:
        return outcome
    return replace(outcome, parked=Parked.REFUSED.because(f"{outcome.refusal.reason}, and other orders are not"))


def backoff_s(settlement: Settlement[Effect], settings: Settings) -> float:
    """Seconds until the next delivery: doubling with jitter, never sooner than the answer asked for."""
    effect, outcome = settlement.effect, settlement.outcome
    if outcome.retry_s == 0.0 or outcome.wait_s == 0.0:
        return 0.0
    if outcome.wait_s is not None:
        return max(outcome.retry_s or 0.0, outcome.wait_s) * uniform(1.0, 1.1)  # noqa: S311  a spread, no secret
    grown: float = settings.retry_base_s * 2 ** min(max(effect.deliveries - 1, 0), _GROWTH_MAX)
    jitter = uniform(0.75, 1.25)  # noqa: S311  a spread, no secret
    return max((outcome.retry_s or 0.0) * max(1.0, jitter), min(grown, settings.retry_max_s) * jitter)


def _again_s(age_s: float) -> float:
    return min(max(age_s * _OF_ITS_AGE, _SOONEST_S), _LATEST_S)


def _age_s(effect: Effect, outcome: Outcome) -> float:
    """Seconds since Stripe's object was made, as far as is known; of a change, since it was asked for."""
    if outcome.waits_for != "stripe" and outcome.object_created is not None:
        return effect.opened_at.timestamp() - outcome.object_created
    since = effect.first_sent_at or effect.born_at
    if outcome.waits_for == "stripe":
        since = effect.born_at
    return max(effect.opened_at - since, timedelta()).total_seconds()
