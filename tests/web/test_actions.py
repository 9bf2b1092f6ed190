"""What a customer has to do is read from Stripe at that moment, and kept nowhere."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.stripe_gateway.objects import Confirmable, NextAction, RedirectToUrl
from tests.web.afterwards import order_in, rows
from tests.web.conftest import Api, assert_problem, serve

CHALLENGED = {
    "amount": "1999",
    "currency": "usd",
    "payment_method": "pm_card_authenticationRequired",
    "confirm": "true",
}
AT_THE_SERVER = {"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"}


async def made(settings: Settings, sandbox: str, **params: str) -> dict[str, Any]:
    """A PaymentIntent whose customer has to act, made past the service."""
    key = {"Authorization": f"Bearer {settings.stripe_api_key}"}
    async with httpx.AsyncClient(base_url=sandbox, headers=key) as stripe:
        answer = await stripe.post("/v1/payment_intents", data={**CHALLENGED, **params})
    assert answer.status_code == 200, answer.text
    intent: dict[str, Any] = answer.json()
    assert intent["status"] == "requires_action"
    return intent


async def test_the_secret_comes_from_stripe_and_is_kept_nowhere(
    settings: Settings, engine: AsyncEngine, sandbox: str, capfd: pytest.CaptureFixture[str]
) -> None:
    by_script = await made(settings, sandbox, **AT_THE_SERVER)
    by_page = await made(settings, sandbox, return_url="https://shop.example/back")
    async with serve(replace(settings, stripe_api_base=sandbox)) as api:
        for key, intent, kind in (("k1", by_script, "use_stripe_sdk"), ("k2", by_page, "redirect_to_url")):
            order_id = await order_in(api, engine, "requires_action", key, intent=intent["id"])
            answer = await api.http.get(f"/v1/orders/{order_id}/action")
            page = intent["next_action"].get("redirect_to_url", {}).get("url")
            assert answer.json() == {"type": kind, "client_secret": intent["client_secret"], "redirect_url": page}
            assert answer.headers["cache-control"] == "no-store"
    stored = [await rows(engine, f"SELECT * FROM {table}") for table in ("orders", "charges", "operations", "changes")]
    said = capfd.readouterr()
    for secret in (by_script["client_secret"], by_page["client_secret"]):
        assert secret not in str(stored) + said.out + said.err


async def test_an_order_nobody_has_to_act_for_is_a_conflict(api: Api, engine: AsyncEngine) -> None:
    for status in ("pending", "paid", "authorized"):
        order_id = await order_in(api, engine, status, status)
        said = assert_problem(await api.http.get(f"/v1/orders/{order_id}/action"), 409, "conflict")
        assert status in said["detail"]


async def test_a_payment_that_has_gone_on_at_stripe_is_a_conflict(
    settings: Settings, engine: AsyncEngine, sandbox: str
) -> None:
    intent = await made(settings, sandbox, **AT_THE_SERVER)
    key = {"Authorization": f"Bearer {settings.stripe_api_key}"}
    async with httpx.AsyncClient(base_url=sandbox, headers=key) as stripe:
        assert (await stripe.post(f"/v1/payment_intents/{intent['id']}/cancel")).status_code == 200
    async with serve(replace(settings, stripe_api_base=sandbox)) as api:
        order_id = await order_in(api, engine, "requires_action", intent=intent["id"])
        assert_problem(await api.http.get(f"/v1/orders/{order_id}/action"), 409, "conflict")


async def test_a_silent_stripe_is_503_and_says_when_to_ask_again(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "requires_action")
    answer = await api.http.get(f"/v1/orders/{order_id}/action")
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_payment_that_stripe_does_not_have_is_503_and_no_secret(
    settings: Settings, engine: AsyncEngine, sandbox: str
) -> None:
    async with serve(replace(settings, stripe_api_base=sandbox)) as api:
        order_id = await order_in(api, engine, "requires_action", intent="pi_nowhere")
        said = assert_problem(await api.http.get(f"/v1/orders/{order_id}/action"), 503, "unavailable")
        assert "pi_nowhere" not in json.dumps(said)


def test_the_fields_are_those_of_the_installed_sdk() -> None:
    """Our structs name nothing that Stripe's own types do not."""
    import stripe

    for ours, theirs in (
        (Confirmable, stripe.PaymentIntent),
        (NextAction, stripe.PaymentIntent.NextAction),
        (RedirectToUrl, stripe.PaymentIntent.NextAction.RedirectToUrl),
    ):
        assert set(ours.__struct_fields__) <= set(theirs.__annotations__), ours


def test_the_api_starts_without_the_client_of_stripe() -> None:
    """It costs half a second, which only a request for an action pays."""
    code = "import sys, service.web.app; sys.exit('stripe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
