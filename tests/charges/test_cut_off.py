"""An administrator or a failover cuts off a worker's statement: made or not, each order is charged once (R22)."""

from typing import Any

import asyncpg
import pytest

from tests.charges.faults import STALL
from tests.charges.world import World
from workers import charge as actor


class Ended:
    """A step of the worker that an administrator cuts off: its COMMIT is made, or not, and nobody hears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, *, made: list[bool]) -> None:
        self._run = getattr(actor, step)
        self._made = made
        monkeypatch.setattr(actor, step, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self._made:
            return await self._run(*arguments, **named)
        if self._made.pop(0):
            await self._run(*arguments, **named)
        raise asyncpg.QueryCanceledError("canceling statement due to user request")


@pytest.mark.slow
async def test_answers_outlast_a_settlement_that_was_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "settle", made=[False, True, False])
    await world.deliver(*promises)
    await world.assert_charged_once(*promises)


async def test_an_opening_that_was_cut_off_is_made_again_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "open_effects", made=[False] * 3)
    await world.deliver(*promises)
    await world.assert_charged_once(*promises)


@pytest.mark.slow
async def test_an_opening_that_was_made_unheard_charges_once_after_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "open_effects", made=[True])
    await world.work(await world.worker(**STALL, charge_lease_s=0.6, outbox_lease_s=0.7))
    await world.assert_charged_once(*promises)


async def test_a_settlement_that_no_postgres_takes_ends_with_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (promise,) = await world.orders(1)
    Ended(monkeypatch, "settle", made=[False] * 1_000)
    with pytest.raises(ExceptionGroup):
        await world.deliver(promise, worker=await world.worker(**STALL, charge_lease_s=0.6))
    assert world.charges_at_stripe(promise) == 1
