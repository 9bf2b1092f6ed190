"""The suite: what Stripe does, as far as this project relies on it."""

from tests.conformance.cases import (
    captures,
    charging,
    declines,
    disputes,
    idempotency,
    money,
    payouts,
    reading,
    refunds,
    refunds_kept,
    refusals,
    three_d_secure,
    webhooks,
)

CASES = [
    *charging.CASES,
    *declines.CASES,
    *three_d_secure.CASES,
    *idempotency.CASES,
    *refusals.CASES,
    *reading.CASES,
    *money.CASES,
    *captures.CASES,
    *refunds.CASES,
    *refunds_kept.CASES,
    *disputes.CASES,
    *webhooks.CASES,
    *payouts.CASES,
]
