"""A restricted key that may not do what is needed is refused at start, with the name of what it lacks."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.settings import Settings
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.permissions import NEEDED, lacking
from tests.docs.parts import ROOT
from tests.sandbox.process import SandboxProcess
from workers.identity import refuse_a_key_that_may_not

KEY = "rk_test_0123456789abcdef"
NOT_ENOUGH = "The provided key 'rk_test_***def' does not have the required permissions for this endpoint."


@pytest.fixture
def lacks(stripe: SandboxProcess, settings: Settings) -> Callable[..., Settings]:
    """Settings with a restricted key that lacks this permission at this endpoint."""

    def lacks(method: str, path: str, permission: str) -> Settings:
        stripe.control("POST", "strict", {"rules": ["restricted_keys"]})
        rule = {"fault": "forbidden_403", "method": method.upper(), "path": f"^{path}$", "permission": permission}
        stripe.control("POST", "faults", {"rules": [rule]})
        return replace(settings, stripe_api_base=stripe.base, stripe_api_key=KEY)

    return lacks


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, *_ in NEEDED])
async def test_each_right_that_is_needed_is_asked_for(lacks: Callable[..., Settings], method: str, path: str) -> None:
    settings = lacks(method, path, "rak_of_this_right_write")
    async with StripeGateway(settings) as gateway:
        with pytest.raises(Misconfigured, match=f"{method.upper()} {path} needs rak_of_this_right_write") as refused:
            await refuse_a_key_that_may_not(gateway, settings)
    assert KEY not in str(refused.value)


async def test_where_stripe_names_no_permission_its_page_does(lacks: Callable[..., Settings]) -> None:
    async with StripeGateway(lacks("get", "/v1/charges", "")) as gateway:
        assert await gateway.lacking_permissions() == ["GET /v1/charges needs charge_write"]


def test_the_page_names_the_permissions_that_are_asked_for() -> None:
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/howto/stripe-key.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted({permission for *_, permission in NEEDED})


async def test_a_key_that_may_do_all_starts_and_asking_charged_nobody(
    lacks: Callable[..., Settings], stripe: SandboxProcess
) -> None:
    settings = lacks("get", "/v1/nothing", "rak_none_read")
    before = stripe.truth("nobody")
    async with StripeGateway(settings) as gateway:
        await refuse_a_key_that_may_not(gateway, settings)
    assert stripe.truth("nobody") == before


async def test_a_stripe_that_is_away_refuses_nobody(settings: Settings) -> None:
    away = replace(settings, stripe_api_key=KEY)
    async with StripeGateway(away) as gateway:
        await refuse_a_key_that_may_not(gateway, away)


async def test_the_identification_names_what_the_key_lacks(lacks: Callable[..., Settings]) -> None:
    async with StripeGateway(lacks("get", "/v1/account", "rak_accounts_kyc_basic_read")) as gateway:
        with pytest.raises(Unavailable, match="it lacks rak_accounts_kyc_basic_read"):
            await gateway.account_id()


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (f"{NOT_ENOUGH} Having the 'rak_charge_write' permission would allow this request.", ["rak_charge_write"]),
        (
            f"{NOT_ENOUGH} Having the 'rak_payment_intent_read', 'rak_charge_read' permissions would allow it.",
            ["rak_charge_read", "rak_payment_intent_read"],
        ),
        (f"Permission denied. {NOT_ENOUGH} Enabling \"Prices Read\" ('plan_read') permissions helps.", ["plan_read"]),
        (f"{NOT_ENOUGH} Having more permissions would allow it.", ["permissions that Stripe does not name"]),
        ("This key may not be used from this address.", []),
        (None, []),
    ],
)
def test_the_names_are_found_in_stripe_s_sentences(message: str | None, names: list[str]) -> None:
    assert lacking(403, message) == names
    assert lacking(401, message) == []
