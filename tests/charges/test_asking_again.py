"""What is read from Stripe is asked for again within bounds, and at the pace of the fleet."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from service.effects.request import STRIPE_VERSION
from service.foundation.settings import Settings
from service.stripe_gateway import pacing
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import IncompleteListing
from service.stripe_gateway.pacing import COMMANDS, WORKERS, AskAgain, Patience, patiently
from service.stripe_gateway.standstill import Answers
from tests.charges.world import POST
from tests.sandbox.process import SandboxProcess

LIST = {"method": "GET", "path": "^/v1/payment_intents$"}
ONE = {"method": "GET", "path": "^/v1/payment_intents/pi_none$"}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, in sequence: nobody really waits."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(pacing, "asyncio", type("Quick", (), {"sleep": staticmethod(sleep)}))
    return waited


async def listed(settings: Settings, stripe: SandboxProcess, patience: Patience = COMMANDS) -> int:
    async with StripeGateway(replace(settings, stripe_api_base=stripe.base), patience) as gateway:
        return len([one async for one in gateway.list_payment_intents(0, 1)])


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "rate_limited"},
        {"fault": "rate_limited", "code": "lock_timeout"},
        {"fault": "error_500_before", "saved": False},
        {"fault": "html_502"},
        {"fault": "drop_before"},
        {"fault": "cut_body"},
        {"fault": "no_request_id"},
    ],
    ids=lambda fault: "-".join(str(word) for word in fault.values()),
)
async def test_one_page_that_failed_is_no_reason_to_give_up(
    settings: Settings, stripe: SandboxProcess, waits: list[float], fault: dict[str, Any]
) -> None:
    stripe.faults({**LIST, **fault, "times": 2})
    assert await listed(settings, stripe) == 0
    assert waits, "a connection that was kept may be tried once more by the client itself"


async def test_retry_after_is_waited_for_and_one_too_long_is_not(
    settings: Settings, stripe: SandboxProcess, waits: list[float]
) -> None:
    stripe.faults({**LIST, "fault": "rate_limited", "retry_after": 7, "times": 1})
    assert await listed(settings, stripe) == 0
    assert waits == [7.0]
    stripe.faults({**LIST, "fault": "rate_limited", "retry_after": 600})
    with pytest.raises(IncompleteListing, match="429"):
        await listed(settings, stripe)
    assert (waits, stripe.fired()) == ([7.0], [1])


@pytest.mark.parametrize("patience", [WORKERS, COMMANDS])
async def test_repeats_have_an_end(
    settings: Settings, stripe: SandboxProcess, waits: list[float], patience: Patience
) -> None:
    stripe.faults({**LIST, "fault": "rate_limited"})
    with pytest.raises(IncompleteListing, match="could not be read: 429"):
        await listed(settings, stripe, patience)
    assert len(waits) == len(patience.pauses_s)
    assert stripe.fired() == [len(patience.pauses_s) + 1]


async def test_a_refusal_is_not_asked_for_again(settings: Settings, stripe: SandboxProcess, waits: list[float]) -> None:
    stripe.faults({**LIST, "fault": "unauthorized_401"})
    with pytest.raises(IncompleteListing, match="401"):
        await listed(settings, stripe)
    assert (waits, stripe.fired()) == ([], [1])


async def test_one_payment_is_asked_for_again_like_a_page(
    settings: Settings, stripe: SandboxProcess, waits: list[float]
) -> None:
    stripe.faults({**ONE, "fault": "rate_limited", "times": 1})
    async with StripeGateway(replace(settings, stripe_api_base=stripe.base)) as gateway:
        assert await gateway.retrieve_payment_intent("pi_none") is None
    assert len(waits) == 1


async def test_nothing_is_repeated_after_the_last_pause() -> None:
    asked = []

    async def never() -> None:
        asked.append(1)
        raise AskAgain("no")

    with pytest.raises(AskAgain):
        await patiently(never, Patience((0.0, 0.0), 0.0))
    assert len(asked) == 3


async def test_listings_of_all_processes_share_one_rate(settings: Settings, stripe: SandboxProcess) -> None:
    async def spent() -> float:
        async with Redis.from_url(settings.redis_url) as redis:
            return 5 - float(await redis.hget("eo:stripe:get_payment_intents", "tokens") or 5)

    paced = replace(settings, stripe_max_rps=5)
    await asyncio.gather(*(listed(paced, stripe) for _ in range(4)))
    assert await spent() > 2, "four processes have asked once each, within a second"


@pytest.mark.parametrize(
    ("fault", "missed"),
    [
        *[(name, True) for name in ("drop_before", "html_502", "executed_500", "rate_limited", "no_request_id")],
        ("unauthorized_401", False),
    ],
)
async def test_a_stripe_that_settles_nothing_is_known_from_one_that_speaks(
    settings: Settings, stripe: SandboxProcess, monkeypatch: pytest.MonkeyPatch, fault: str, *, missed: bool
) -> None:
    now, never = 0.0, {"enabled": True, "allow_redirects": "never"}
    request = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    request["automatic_payment_methods"] = never
    answers = Answers(lambda: now)
    monkeypatch.setattr("service.stripe_gateway.calls.ANSWERS", answers)
    stripe.faults({"fault": fault, **POST})
    async with StripeGateway(replace(settings, stripe_api_base=stripe.base)) as gateway:
        for n in range(2):
            await gateway.create_payment_intent(request, key=f"k{n}", version=STRIPE_VERSION)
            now += 10
        assert (answers.why_nothing() is not None) is missed
        stripe.faults()
        await gateway.create_payment_intent(request, key="well", version=STRIPE_VERSION)
    assert answers.why_nothing() is None


def test_what_was_lost_long_ago_tells_nothing_of_now(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="eo")
    now = 0.0
    answers = Answers(lambda: now)
    for _ in range(3):
        answers.missed("post", "500 api_error")
        now += 20
    assert answers.why_nothing() == "Stripe has answered no POST for 60 s (500 api_error)"
    assert answers.why_nothing() is not None
    now += 300
    assert answers.why_nothing() is None
    assert [record.getMessage() for record in caplog.records] == ["stripe.unanswered", "stripe.answers_again"]
