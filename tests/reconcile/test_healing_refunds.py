"""`eo reconcile --heal` puts refunds on the books as Stripe shows them: forward only, once, and sends nothing."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from service.ops.cli import cli
from tests.balance.support import sweep_balance
from tests.charges.world import Promise, World, time_passes
from tests.recovery.forgetting import fresh_key
from tests.recovery.refunding import asks, given_back, lost_refund, paid, refunds_of, sums

pytestmark = pytest.mark.slow


class Desk:
    """An operator's shell."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def eo(self, *words: str) -> tuple[int, str]:
        settings = self.world.settings
        environment = {
            "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url,
            "STRIPE_API_KEY": settings.stripe_api_key, "STRIPE_API_BASE": settings.stripe_api_base,
            "EO_RECONCILE_GRACE_S": "0",
        }  # fmt: skip
        done = await asyncio.to_thread(CliRunner(env=environment).invoke, cli, ["reconcile", *words])
        return done.exit_code, done.output if "--json" not in words else done.stdout

    async def found(self) -> tuple[int, dict[str, str]]:
        """Exit code, and the class of each discrepancy by its refund."""
        code, out = await self.eo("--json")
        return code, {d["refund"]: d["class"] for d in json.loads(out)["discrepancies"]}

    async def heal(self, *words: str) -> str:
        """The last line of what healing says."""
        _, out = await self.eo("--heal", *words)
        return next(line for line in out.splitlines() if "put right" in line).removeprefix("eo reconcile: ")


async def _books(world: World, order: Promise) -> Any:
    return await refunds_of(world, order), await sums(world, order), await world.entries(order)


async def _given_back_by_us(world: World, order: Promise, amount: int) -> str:
    """A refund that succeeded, and that nobody here will ask for again; Stripe's id of it."""
    ours = await asks(world, order, fresh_key(), amount=amount)
    await world.work()
    return str(next(row["stripe_refund_id"] for row in await refunds_of(world, order) if row["id"] == ours))


async def _seen(world: World) -> None:
    """What moved Stripe's balance is seen, as the relay's sweep does."""
    await sweep_balance(world.engine, world.settings)


async def test_refunds_past_us_forgotten_and_failed_after_all_are_healed_once_and_the_customer_is_owed(
    own_world: World,
) -> None:
    world, desk = own_world, Desk(own_world)
    order = await paid(world)
    await _seen(world)
    failed = await _given_back_by_us(world, order, 300)
    past_us = await given_back(world, order, 200)
    forgotten = await (await lost_refund(world, order, 100)).sent(world)
    world.stripe.control("POST", f"refunds/{failed}/end", {"status": "failed"})
    await _seen(world)
    names = {failed: "refund_status_mismatch", past_us: "refund_missing_locally", forgotten: "refund_missing_locally"}
    assert await desk.found() == (1, names)
    before = await _books(world, order)
    assert await desk.heal() == "3 could be put right, 0 left for a human"
    assert await _books(world, order) == before, "without --yes it only tells"

    assert await desk.heal("--yes") == "3 put right, 0 left for a human"
    healed = rows, counted, entries = await _books(world, order)
    words = {row["stripe_refund_id"]: row["status"] for row in rows}
    assert words == {failed: "failed", past_us: "succeeded", forgotten: "succeeded"}
    assert counted == (300, 0, 300), "refunded, under way, owed"
    assert [entry["kind"] for entry in entries].count("refund_failed") == 1
    assert world.stripe.truth(str(order.order_id))["refunded"] == {"usd": 300}
    await world.balanced()

    assert await desk.heal("--yes") == "0 put right, 0 left for a human"
    assert await _books(world, order) == healed
    code, found = await desk.found()
    assert (code, set(found.values())) == (0, {"owed"})


async def test_stripes_list_shows_a_refund_that_failed_ten_days_after_it_was_made(own_world: World) -> None:
    world, desk = own_world, Desk(own_world)
    order = await paid(world)
    await _seen(world)
    failed = await _given_back_by_us(world, order, 300)
    await _seen(world)
    await time_passes(world.settings.database_url, world.stripe, 240)
    assert await desk.found() == (0, {})
    world.stripe.control("POST", f"refunds/{failed}/end", {"status": "failed"})
    await _seen(world)
    assert await desk.found() == (1, {failed: "refund_status_mismatch"})
