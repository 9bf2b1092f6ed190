"""The suite: what Stripe does, as far as this project relies on it."""

from tests.conformance.cases import charging, declines, idempotency, money, reading, refusals, three_d_secure

CASES = [
    *charging.CASES,
    *declines.CASES,
    *three_d_secure.CASES,
    *idempotency.CASES,
    *refusals.CASES,
    *reading.CASES,
    *money.CASES,
]
