"""Amounts are integers in minor units, within what Stripe can charge in that currency."""

from typing import Any

import pytest

from service.foundation.errors import BadRequest
from service.foundation.money import CURRENCIES, validate


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (50, "usd"), (99_999_999, "usd"), (30, "gbp"), (50, "jpy"), (9_999_999_999, "jpy"), (175_00, "huf"),
        (175_01, "huf"), (101, "twd"), (999_999_999, "inr"), (999_999_999_999, "idr"), (100, "isk"), (500, "ugx"),
        (5120, "kwd"), (10, "bhd"), (50, "krw"), (1, "kes"),
    ],
)  # fmt: skip
def test_what_stripe_can_charge_is_accepted(amount: int, currency: str) -> None:
    assert validate(amount, currency).code == currency


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount-out-of-range"), (100_000_000, "usd", "amount-out-of-range"),
        (0, "usd", "amount-out-of-range"),
        (-1, "usd", "amount-out-of-range"), (10**30, "usd", "amount-out-of-range"), (29, "gbp", "amount-out-of-range"),
        (49, "jpy", "amount-out-of-range"), (49, "krw", "amount-out-of-range"), (174_99, "huf", "amount-out-of-range"),
        (5124, "kwd", "amount-not-a-multiple"), (150, "isk", "amount-not-a-multiple"),
        (501, "ugx", "amount-not-a-multiple"),
        (100, "xxx", "currency-unknown"), (100, "USD", "currency-unknown"), (100, "", "currency-unknown"),
        (True, "krw", "amount-invalid"), (100.0, "usd", "amount-invalid"), ("100", "usd", "amount-invalid"),
    ],
)  # fmt: skip
def test_what_stripe_would_refuse_is_refused_with_the_reason(amount: Any, currency: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        validate(amount, currency)
    assert refused.value.code == code


def test_the_yen_has_no_cents() -> None:
    assert CURRENCIES["jpy"].exponent == 0
    with pytest.raises(BadRequest, match="0 decimals"):
        validate(20, "jpy")


def test_every_currencys_limits_can_be_charged_themselves() -> None:
    for rules in CURRENCIES.values():
        assert validate(rules.minimum, rules.code) is validate(rules.maximum, rules.code)


def test_all_presentment_currencies_are_known_once() -> None:
    assert len(CURRENCIES) >= 135
    assert {c for c, rules in CURRENCIES.items() if rules.exponent == 0} == set(
        "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()
    )
    assert {c for c, rules in CURRENCIES.items() if rules.exponent == 3} == {
        "bhd",
        "jod",
        "kwd",
        "omr",
        "tnd",
    }
