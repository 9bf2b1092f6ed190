"""The service's currencies, the sandbox's, and the standard's own list are one, but for what Stripe says otherwise.

Sources: ISO 4217 as the package iso4217 has it, and Stripe's page "Supported currencies". The lev (bgn) ended with 2025
and is no longer on that page; the cedi (ghs) never was.
"""

import pytest
from iso4217 import Currency

from sandbox import currencies as sandbox
from sandbox.errors import ApiError
from service.foundation.errors import BadRequest
from service.foundation.money import _MINIMUM, CURRENCIES, validate

# Withdrawn by the standard, and still charged by Stripe beside their successors xcg and stn.
WITHDRAWN = {"ang", "std"}
# Stripe sends amounts of these with other decimals than the standard gives them.
OTHER_DECIMALS = {"isk": 2, "ugx": 2, "mga": 0, "std": 2, "ang": 2}
ISO = {currency.code.lower(): currency for currency in Currency}


def test_the_service_and_the_sandbox_know_the_same_currencies() -> None:
    assert set(CURRENCIES) == sandbox.SUPPORTED
    assert not {"ghs", "bgn"} & set(CURRENCIES)
    assert {"xcg", "sle", "byn"} <= set(CURRENCIES)


def test_every_currency_is_one_of_the_standard_s() -> None:
    assert set(CURRENCIES) - set(ISO) == WITHDRAWN


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_decimals_are_the_standard_s_or_stripe_s(code: str) -> None:
    standard = ISO[code].exponent if code in ISO else None
    assert CURRENCIES[code].exponent == OTHER_DECIMALS.get(code, standard)


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_the_sandbox_charges_what_the_door_accepts_and_refuses_what_it_refuses(code: str) -> None:
    rules = CURRENCIES[code]
    smallest = rules.minimum if code in _MINIMUM else sandbox.minimum(code)  # ours is 1 where Stripe publishes none
    for amount in {smallest, rules.maximum, smallest - rules.step, rules.maximum + rules.step, rules.maximum - 1}:
        assert charged(amount, code) == (accepted(amount, code) and amount >= smallest), amount


def accepted(amount: int, code: str) -> bool:
    try:
        validate(amount, code)
    except BadRequest:
        return False
    return True


def charged(amount: int, code: str) -> bool:
    try:
        sandbox.check_amount(amount, code)
    except ApiError:
        return False
    return True
