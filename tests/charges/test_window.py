"""How much may be out at once follows from what Stripe lets the fleet drain (R11)."""

from dataclasses import replace

from service.foundation.addresses.stripe import STRIPE_API
from service.foundation.settings import Settings


def test_behind_a_rate_limit_no_more_is_out_than_ten_seconds_can_drain() -> None:
    assert Settings(stripe_api_base=STRIPE_API).events_out_max == 200
    assert replace(Settings(), stripe_api_base="http://127.0.0.1:1", stripe_max_rps=5).events_out_max == 50


def test_without_a_rate_limit_the_configured_window_holds() -> None:
    assert Settings(stripe_api_base="http://127.0.0.1:1", relay_window=700).events_out_max == 700


def test_an_empty_address_means_stripe_and_its_rate_limit() -> None:
    assert Settings(stripe_api_base="").stripe_rps == 20
    assert not Settings(stripe_api_base="").stripe_is_sandbox
