"""The rules between knobs: which values may not stand beside each other, and why.

A rule reads the fields of `service.foundation.settings.Settings`, whose table of knobs it does not know.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.foundation.errors import Misconfigured

_DAY_S = 86_400  # Stripe forgets a key after 24 hours


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that must hold between knobs. `says` is the rule in words that name their variables."""

    says: str
    holds: Callable[[Any], bool]
    why: str

    @property
    def variables(self) -> list[str]:
        """The variables that the rule names."""
        return re.findall(r"EO_[A-Z_]+", self.says)


RULES = (
    Rule(
        "EO_STRIPE_CONNECT_TIMEOUT_S < EO_STRIPE_TIMEOUT_S",
        lambda s: s.stripe_connect_timeout_s < s.stripe_timeout_s,
        "a connection that fails must be known from a lost reply",
    ),
    Rule(
        "EO_STRIPE_TIMEOUT_S < EO_CHARGE_LEASE_S < EO_OUTBOX_LEASE_S",
        lambda s: s.stripe_timeout_s < s.charge_lease_s < s.outbox_lease_s,
        "a call ends before its lease, and a lease before its row is published again",
    ),
    Rule(
        "EO_RETRY_BASE_S <= EO_RETRY_MAX_S",
        lambda s: s.retry_base_s <= s.retry_max_s,
        "the backoff grows from one to the other",
    ),
    Rule(
        "EO_KEY_AGE_MAX_S + EO_CHARGE_LEASE_S + EO_CLOCK_SKEW_MAX_S < 86400",
        lambda s: s.key_age_max_s + s.charge_lease_s + s.clock_skew_max_s < _DAY_S,
        "Stripe forgets a key after 24 h, and would charge a later repeat again (R17)",
    ),
    Rule(
        "EO_MISS_COUNTS_AFTER_S >= 86400 + EO_CHARGE_LEASE_S + EO_CLOCK_SKEW_MAX_S",
        lambda s: s.miss_counts_after_s >= _DAY_S + s.charge_lease_s + s.clock_skew_max_s,
        "a payment may appear as long as its key is known, and no sooner is a miss an answer (R18)",
    ),
)


def check_rules(values: Mapping[str, Any], settings: Any) -> None:
    """Check every rule on these settings, whose values are also given by variable. Raises Misconfigured."""
    for rule in RULES:
        if not rule.holds(settings):
            found = ", ".join(f"{variable}={values[variable]:g}" for variable in values if variable in rule.variables)
            raise Misconfigured(f"{rule.says} must hold, and does not with {found}: {rule.why}. Change one of them.")
