"""`eo recover`: what was forgotten, in numbers, and an exit code that can be trusted."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from service.foundation.settings import Settings
from service.recovery import current
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import RefundMarks
from tests import forks
from tests.charges.world import World
from tests.recovery.forgetting import forgotten, found, fresh_key
from tests.recovery.refunding import posted

pytestmark = pytest.mark.slow


async def eo(settings: Settings, *words: str, **changes: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of an `eo` command."""
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url,
        "STRIPE_API_KEY": settings.stripe_api_key,
        "STRIPE_API_BASE": settings.stripe_api_base,
        **changes,
    }
    done = await asyncio.to_thread(forks.run, [sys.executable, "-m", "service", *words], env=environ)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def world(world: World) -> World:
    """An order that only Stripe remembers."""
    await (await forgotten(world, fresh_key())).sent(world)
    return world


async def orders_of(world: World) -> list[dict[str, Any]]:
    return await world.all("SELECT status FROM orders")


async def test_a_dry_run_tells_and_changes_nothing(world: World) -> None:
    code, out, err = await eo(world.settings, "recover", "--dry-run")
    assert code == 0
    assert "would be adopted   1 (1999 usd in minor units)" in out
    assert "eo recover:" in err
    assert await orders_of(world) == []
    assert not (
        await world.one("SELECT bool_or(verified_until > now()) AS yes FROM lives WHERE identity = database_identity()")
    )["yes"]


async def test_it_brings_back_and_says_so_for_programs(world: World) -> None:
    code, out, _ = await eo(world.settings, "recover", "--json")
    found = json.loads(out)
    assert code == 0
    assert found.keys() == {"adopted", "settled", "refunds", "reported", "sums", "since", "until"}
    assert (found["adopted"], found["settled"], found["reported"]) == (1, 0, [])
    assert found["sums"]["adopted"] == {"usd": 1999}
    assert await orders_of(world) == [{"status": "paid"}]
    code, out, _ = await eo(world.settings, "recover", "--json")
    assert (code, json.loads(out)["adopted"]) == (0, 0)


async def test_refunds_are_counted_and_a_dry_run_counts_those_of_forgotten_orders(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await posted(world, paths.REFUNDS, payment_intent=str(await lost.sent(world)), amount=500)
    code, out, _ = await eo(world.settings, "recover", "--dry-run")
    assert code == 0
    assert "refunds   would be 0 adopted, 1 made past us, 0 settled (500 usd in minor units)" in out
    for times in (1, 0):
        code, out, _ = await eo(world.settings, "recover", "--json")
        sums = {"usd": 500} if times else {}
        assert (code, json.loads(out)["refunds"]) == (0, {"adopted": 0, "past_us": times, "settled": 0, "sums": sums})


async def test_a_refund_of_ours_of_an_unknown_payment_is_reported(world: World) -> None:
    stranger = await forgotten(world, fresh_key(), account_id=(await world.one("SELECT gen_random_uuid() AS id"))["id"])
    intent = await stranger.sent(world)
    marks = RefundMarks(
        account_id=stranger.marks.account_id,
        order_id=stranger.marks.order_id,
        refund_id=uuid7(),
        key=fresh_key(),
        instance=stranger.marks.instance,
    )
    await posted(world, paths.REFUNDS, payment_intent=str(intent), amount=500, metadata=marks.metadata({}))
    for _ in range(2):
        code, out, _ = await eo(world.settings, "recover")
        assert code == 1
        assert "500 usd  succeeded" in out
        assert "its payment is unknown here" in out
    assert len((await found(world))["reported"]) == 2, "the payment and the refund, each once"


async def test_what_can_only_be_reported_makes_it_exit_1(world: World) -> None:
    stranger = await forgotten(world, fresh_key(), account_id=(await world.one("SELECT gen_random_uuid() AS id"))["id"])
    intent = await stranger.sent(world)
    code, out, _ = await eo(world.settings, "recover")
    assert code == 1
    assert f"{intent}  1999 usd" in out
    assert "unknown here" in out


async def test_a_list_that_cannot_be_read_makes_it_exit_4_and_no_stripe_3(world: World) -> None:
    world.stripe.faults({"fault": "html_502", "method": "GET", "path": "^/v1/payment_intents$"})
    code, out, err = await eo(world.settings, "recover")
    assert (code, out) == (4, "")
    assert "run it again" in err
    code, out, err = await eo(world.settings, "recover", STRIPE_API_BASE="http://127.0.0.1:9")
    assert (code, out) == (3, "")
    assert "Stripe did not answer" in err


async def test_a_key_of_the_other_mode_of_the_same_account_verifies_nothing(world: World) -> None:
    async with StripeGateway(world.settings) as gateway:
        account, _ = await gateway.account_id()
    await world.run("UPDATE instance SET stripe_account_id = :account, stripe_livemode = true", account=account)
    code, out, err = await eo(world.settings, "recover")
    assert (code, out) == (2, "")
    assert "live mode" in err
    assert not (await current(world.engine, world.settings)).verified


async def test_an_earlier_begin_may_be_named_and_a_later_one_changes_nothing(aging: World) -> None:
    world = aging
    await (await forgotten(world, fresh_key())).sent(world)
    world.stripe.control("POST", "age", {"seconds": 2 * 3600})
    code, out, _ = await eo(world.settings, "recover", "--dry-run", "--json", "--since", "2100-01-01")
    assert (code, json.loads(out)["adopted"]) == (0, 0)
    code, out, _ = await eo(world.settings, "recover", "--json", "--since", "2020-01-01")
    assert (code, json.loads(out)["adopted"]) == (0, 1)


async def test_a_fork_is_another_installation_at_stripe(world: World) -> None:
    before = (await world.one("SELECT uuid FROM instance"))["uuid"]
    code, _, err = await eo(world.settings, "instance", "fork", "--yes")
    now = (await world.one("SELECT uuid FROM instance"))["uuid"]
    assert code == 0
    assert str(now) in err
    assert now != before
    code, out, _ = await eo(world.settings, "recover", "--json")
    assert (code, json.loads(out)["adopted"]) == (0, 0)
