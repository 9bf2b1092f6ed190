"""What a restricted key (`rk_…`) must be allowed at Stripe, and what an answer says that it lacks. Pure."""

import re

from service.stripe_gateway import paths

_PAYMENTS, _CHARGES, _BALANCE = "payment_intent_write", "charge_write", "balance_transaction_source_read"

# The smallest request of each kind we make: permissions are judged before parameters, so that a POST without any shows
# whether charging and refunding are allowed, and moves no money. To capture and to cancel asks for no more than to
# charge: all three write PaymentIntents. Last, the permission by Stripe's page "API permissions reference"; who may
# write may read, and refunds have none of their own.
NEEDED: tuple[tuple[str, str, dict[str, object], str], ...] = (
    ("get", "/v1/account", {}, "connected_account_read"),
    ("post", paths.PAYMENT_INTENTS, {}, _PAYMENTS),
    ("get", paths.PAYMENT_INTENTS, {"limit": 1}, _PAYMENTS),
    ("post", paths.REFUNDS, {}, _CHARGES),
    ("get", paths.REFUNDS, {"limit": 1}, _CHARGES),
    ("get", "/v1/charges", {"limit": 1}, _CHARGES),
    ("get", "/v1/balance_transactions", {"limit": 1}, _BALANCE),
    ("get", paths.BALANCE, {}, "balance_read"),
    ("get", paths.DISPUTES, {"limit": 1}, "dispute_read"),
    ("get", paths.FRAUD_WARNINGS, {"limit": 1}, "early_fraud_warning_read"),
    ("get", paths.PAYOUTS, {"limit": 1}, "payout_read"),
    ("get", "/v1/events", {"limit": 1}, "event_read"),
)

_NAME = re.compile(r"'((?:rak_)?[a-z][a-z_]{1,60}_(?:read|write))'")
_MORE = "permissions that Stripe does not name"


def lacking(http_status: int | None, message: str | None, unnamed: str = _MORE) -> list[str]:
    """The permissions that a refusal asks for, by Stripe's names; empty where it is about something else.

    `unnamed`: what to say where it names none.
    """
    if http_status != 403 or message is None or "permission" not in message:
        return []
    return sorted(set(_NAME.findall(message))) or [unnamed]
