"""The breaker: what opens it, whom it lets through, and who is told (R20, R33)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from service.effects.model import Refusal
from service.foundation.settings import Settings
from service.monitoring import heartbeats
from service.monitoring.heartbeats import Heart
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Standstill
from workers.living import Living
from workers.throttle import Admission, Breaker

FORM = Refusal("form", "400 parameter_unknown (payment_method_types)")
OTHER = Refusal("other", "400 testmode_charges_only")
KEY = Refusal("key", "401 api_key_expired")


@dataclass
class Fleet:
    """Breakers of several workers, and what the identification of Stripe says."""

    redis: Redis
    settings: Settings
    says: str | None = None

    def breaker(self, **changes: Any) -> Breaker:
        async def probe() -> str | None:
            return self.says

        return Breaker(self.redis, replace(self.settings, **changes), probe)

    async def closed(self, **changes: Any) -> Breaker:
        """One that has identified Stripe."""
        breaker = self.breaker(**changes)
        assert (await asked(breaker)).rows == 9
        return breaker

    async def half_open(self, **changes: Any) -> Breaker:
        """One that a refusal has opened, and whose time to try has come."""
        breaker = await self.closed(**changes)
        await breaker.record(uuid4(), FORM)
        return time_passes(breaker)


@pytest.fixture
async def fleet(settings: Settings) -> AsyncIterator[Fleet]:
    async with Redis.from_url(settings.redis_url) as redis:
        yield Fleet(redis, replace(settings, breaker_after=3))


async def asked(breaker: Breaker) -> Admission:
    """What it lets through of nine rows; nothing is done with them."""
    async with breaker.admission(9) as admitted:
        return admitted


def time_passes(breaker: Breaker) -> Breaker:
    """The time to probe has come, and to look at the fleet's flag."""
    breaker._probe_at = breaker._look_at = 0.0
    return breaker


def log_of(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# --- what opens it


async def test_a_refusal_of_our_form_opens_it_at_once(fleet: Fleet) -> None:
    breaker = await fleet.closed()
    await breaker.record(uuid4(), FORM)
    assert (await asked(breaker)).rows == 0
    assert breaker.reason == FORM.reason


async def test_other_refusals_open_it_after_some_in_a_row_over_distinct_orders(fleet: Fleet) -> None:
    breaker = await fleet.closed()
    for order_id in (uuid4(), uuid4()):
        await breaker.record(order_id, OTHER)
        await breaker.record(order_id, None)  # other answers say nothing of it
    assert (await asked(breaker)).rows == 9
    await breaker.record(uuid4(), replace(OTHER, reason="400 country_unsupported"))
    assert (await asked(breaker)).rows == 0


async def test_a_form_that_only_some_orders_have_stops_the_others_once_and_no_more(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    async with breaker.admission(9):
        await breaker.record(uuid4(), None, sent_through=True)
    for _ in range(9):
        await breaker.record(uuid4(), FORM)
        await breaker.record(uuid4(), None, sent_through=True)
    assert (await asked(breaker)).rows == 9
    for _ in range(3):
        await breaker.record(uuid4(), FORM)
    assert (await asked(breaker)).rows == 0, "now it is everybody's"


async def test_one_order_alone_never_opens_it(fleet: Fleet) -> None:
    breaker, order_id = await fleet.closed(), uuid4()
    for _ in range(20):
        await breaker.record(order_id, OTHER)
    assert (await asked(breaker)).rows == 9


async def test_a_send_that_goes_through_between_them_keeps_it_closed(fleet: Fleet) -> None:
    breaker = await fleet.closed()
    for _ in range(5):
        for _ in range(2):
            await breaker.record(uuid4(), OTHER)
        await breaker.record(uuid4(), None, sent_through=True)
    assert (await asked(breaker)).rows == 9


async def test_equal_refusals_of_our_key_open_it_and_any_other_answer_between_keeps_it_closed(fleet: Fleet) -> None:
    breaker, order_id = await fleet.closed(), UUID(int=1)
    for _ in range(3):
        await breaker.record(order_id, KEY)
        await breaker.record(order_id, KEY)
        await breaker.record(order_id, None)
    assert (await asked(breaker)).rows == 9
    for _ in range(3):
        await breaker.record(order_id, KEY)
    assert (await asked(breaker)).rows == 0


# --- half-open


async def test_half_open_lets_one_row_through_at_a_time(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    async with breaker.admission(9) as first:
        assert (first.rows, first.trial) == (1, True)
        async with breaker.admission(9) as meanwhile:
            assert meanwhile.rows == 0
            assert meanwhile.wait_s > 0
    async with breaker.admission(9) as next_one:  # the first one told nothing: it was no send
        assert next_one.rows == 1


async def test_a_send_that_goes_through_closes_it(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    async with breaker.admission(9):
        await breaker.record(uuid4(), None, sent_through=True)
    assert (await asked(breaker)).rows == 9
    assert await standstill.read(fleet.redis) is None


@pytest.mark.parametrize("refusal", [FORM, OTHER, KEY], ids=lambda refusal: refusal.about)
async def test_one_more_refusal_opens_it_again(fleet: Fleet, refusal: Refusal) -> None:
    breaker = await fleet.half_open()
    async with breaker.admission(9):
        await breaker.record(uuid4(), refusal)
    assert (await asked(breaker)).rows == 0
    assert breaker.reason == refusal.reason


async def test_what_tells_nothing_leaves_it_half_open(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    async with breaker.admission(9):
        await breaker.record(uuid4(), None)
    assert (await asked(breaker)).rows == 1


async def test_that_stripe_says_who_it_is_does_not_close_it_after_a_refused_send(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    for _ in range(3):
        assert (await asked(time_passes(breaker))).rows == 1


async def test_only_one_of_the_fleet_tries(fleet: Fleet) -> None:
    one, two = await fleet.closed(), await fleet.closed()
    await one.record(uuid4(), FORM)
    assert (await asked(time_passes(two))).rows == 0, "the flag opened it"
    assert [(await asked(time_passes(breaker))).rows for breaker in (one, two, one, two)] == [1, 0, 1, 0]


async def test_a_process_that_starts_into_a_standstill_tries_before_it_sends(fleet: Fleet) -> None:
    await (await fleet.closed()).record(uuid4(), FORM)
    newcomer = fleet.breaker()
    assert (await asked(newcomer)).rows == 1
    assert newcomer.reason == FORM.reason


async def test_calls_that_were_under_way_when_it_opened_do_not_prolong_it(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = await fleet.closed()
    for _ in range(20):
        await breaker.record(uuid4(), FORM)
    assert len(log_of(caplog, logging.ERROR)) == 1
    assert log_of(caplog, logging.WARNING) == []


# --- who is told


async def test_it_is_said_loudly_once_also_where_it_starts_open(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.says = "Stripe did not answer for this API key (401 authentication_error)."
    breaker = fleet.breaker()
    for _ in range(3):
        assert (await asked(time_passes(breaker))).rows == 0
    assert [said.partition(":")[0] for said in log_of(caplog, logging.ERROR)] == ["breaker.open"]
    flag = await standstill.read(fleet.redis)
    assert flag is not None
    assert "401" in flag.reason
    fleet.says = None
    assert (await asked(time_passes(breaker))).rows == 9
    assert await standstill.read(fleet.redis) is None


async def test_a_worker_that_starts_says_that_stripe_refuses_it_before_any_order_comes(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.says = "Stripe did not answer for this API key (401 authentication_error)."
    breaker, asked_once = fleet.breaker(), asyncio.Event()

    async def make_breaker() -> Breaker:
        return breaker

    living = Living(lambda: Heart(fleet.redis, "worker"), make_breaker, 0.05, asked_once.set)
    living.start(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        await asked_once.wait()
        assert [said.partition(":")[0] for said in log_of(caplog, logging.ERROR)] == ["breaker.open"]
        flag = await standstill.read(fleet.redis)
        assert flag is not None
        assert "401" in flag.reason
        assert [beat.process.part for beat in await heartbeats.read(fleet.redis)] == ["worker"]
        fleet.says = None
        while breaker.reason is not None:  # nobody has sent anything, and it closes by itself
            time_passes(breaker)
            await asyncio.sleep(0.01)
    await asyncio.to_thread(living.end)
    assert await heartbeats.read(fleet.redis) == [], "it is not missed"


async def test_a_flag_that_another_process_lowered_is_not_renewed(fleet: Fleet) -> None:
    breaker = await fleet.half_open()
    await standstill.withdraw(fleet.redis)
    await asked(breaker)
    assert await standstill.read(fleet.redis) is None


async def test_the_flag_lowers_itself_where_nobody_renews_it(fleet: Fleet) -> None:
    await standstill.announce(fleet.redis, Standstill("400", refused=True), for_s=60)
    assert await standstill.read(fleet.redis) == Standstill("400", refused=True)
    assert 0 < await fleet.redis.pttl("eo:standstill") <= 60_000


async def test_a_flag_that_nobody_can_read_is_none(fleet: Fleet) -> None:
    await fleet.redis.set("eo:standstill", "not ours")
    assert await standstill.read(fleet.redis) is None


async def test_without_redis_it_works_from_its_own_memory(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        nowhere = await stack.enter_async_context(Redis.from_url("redis://127.0.0.1:9/0"))
        breaker = await Fleet(nowhere, settings).closed()
        await breaker.record(uuid4(), FORM)
        assert (await asked(breaker)).rows == 0
        assert (await asked(time_passes(breaker))).rows == 1
        await breaker.record(uuid4(), None, sent_through=True)
        assert (await asked(breaker)).rows == 9
