"""R38: with no event at all the ledger's balance is Stripe's, to the cent; what is not ours stands in suspense."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from service import ledger
from service.effects import Rules
from service.reconcile import Report, Span, reconcile
from service.reconcile.report import as_table
from service.stripe_gateway.client import StripeGateway
from tests.charges.conftest import a_day_passes, own_stripe, own_world
from tests.charges.wishes import ask_refund
from tests.charges.world import World
from tests.ledger.support import balance_of, book, charged, damage, superuser
from tests.recovery.forgetting import forgotten, fresh_key
from tests.recovery.refunding import given_back, paid, refunds_of
from tests.refunds.giving_back import FAILS_LATER, PENDS
from workers.rounds import AfterTheCharge, BoundStripe

__all__ = ["a_day_passes", "own_stripe", "own_world"]

BALANCE, SUSPENSE = "assets:stripe:balance", "suspense:stripe"


async def minutes_pass(world: World) -> None:
    """What a relay does in them; nothing is told by any event."""
    async with StripeGateway(world.settings) as gateway:
        after = AfterTheCharge(
            world.engine, gateway, BoundStripe(world.engine, gateway, world.settings), world.settings
        )
        for _ in range(2):
            for once in after.lists().values():
                await once()
            await world.run("UPDATE balance_transactions SET look_at = now() WHERE status <> 'booked'")
            await after.look()
        await after.give_up()


async def swept(world: World, kind: str) -> None:
    """A relay reads this one list, and gives up what waits."""
    async with StripeGateway(world.settings) as gateway:
        after = AfterTheCharge(
            world.engine, gateway, BoundStripe(world.engine, gateway, world.settings), world.settings
        )
        await after.lists()[kind]()
        await after.look()
        await after.give_up()


async def at_stripe(world: World) -> dict[str, int]:
    """Stripe's balance."""
    async with StripeGateway(world.settings) as gateway:
        return (await gateway.balance()).total


async def standing(world: World) -> dict[str, int]:
    rows = await world.all("SELECT status, count(*) AS n FROM balance_transactions GROUP BY 1")
    return {row["status"]: row["n"] for row in rows}


async def test_the_ledgers_balance_is_stripes_to_the_cent(own_world: World) -> None:
    world = own_world
    promises = [await paid(world, payment_method=card) for card in ("pm_card_visa", FAILS_LATER, PENDS)]
    for promise in promises:
        await ask_refund(world, promise, 500)
    await world.work(done=lambda: _all_made(world))
    await given_back(world, promises[0], 700)  # past us
    (failed,) = await refunds_of(world, promises[1])
    world.stripe.control("POST", f"refunds/{failed['stripe_refund_id']}/end", {"status": "failed"})
    for _ in range(2):
        await minutes_pass(world)
        assert {"usd": await balance_of(world.engine, BALANCE)} == await at_stripe(world)
        assert await balance_of(world.engine, SUSPENSE) == 0
    assert await standing(world) == {"booked": 8}
    (failed,) = await refunds_of(world, promises[1])
    assert (failed["status"], failed["failure_transaction_id"] is not None) == ("failed", True)
    assert await ledger.verify(world.engine) == []


async def _all_made(world: World) -> bool:
    return not await world.all("SELECT 1 FROM refunds WHERE stripe_refund_id IS NULL")


async def test_money_of_another_installation_at_this_stripe_stands_in_suspense(
    own_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    own_world.settings = replace(own_world.settings, reconcile_grace_s=0)
    await paid(own_world)
    stranger = await forgotten(own_world, fresh_key())
    await replace(stranger, marks=replace(stranger.marks, instance=uuid4())).sent(own_world)
    await minutes_pass(own_world)
    assert {"usd": await balance_of(own_world.engine, BALANCE)} == await at_stripe(own_world)
    assert await balance_of(own_world.engine, SUSPENSE) > 0
    assert await standing(own_world) == {"booked": 1, "suspense": 1}
    assert await ledger.verify(own_world.engine) == []
    assert "balance.suspense" in caplog.text


async def test_what_this_database_forgot_is_brought_back_and_its_suspense_cleared(own_world: World) -> None:
    own_world.settings = replace(own_world.settings, reconcile_grace_s=0)
    lost = await forgotten(own_world, fresh_key())
    await lost.sent(own_world)
    async with StripeGateway(own_world.settings) as gateway:
        after = AfterTheCharge(
            own_world.engine, gateway, BoundStripe(own_world.engine, gateway, own_world.settings), own_world.settings
        )
        await after.lists()["balance_transactions"]()
        await after.look()
        await after.give_up()
    assert await standing(own_world) == {"suspense": 1}, "its payment is not known yet"
    await minutes_pass(own_world)
    assert await standing(own_world) == {"booked": 1}
    assert (await balance_of(own_world.engine, SUSPENSE)) == 0
    assert {"usd": await balance_of(own_world.engine, BALANCE)} == await at_stripe(own_world)


@asynccontextmanager
async def proven(world: World) -> AsyncIterator[Report]:
    """What `eo reconcile` finds; nothing is young."""
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings), balance=gateway) as report,
    ):
        yield report


async def test_reconciliation_proves_the_balance_per_currency(own_world: World) -> None:
    world = own_world
    async with proven(world) as report:
        assert report.proofs == (), "it was never swept"
    promise = await paid(world)
    await given_back(world, promise, 700)
    await minutes_pass(world)
    await paid(world)  # on the books, and its movement not seen yet
    async with proven(world) as report:
        (proof,) = report.proofs
        stripe = (await at_stripe(world))["usd"]
        assert (proof.opening, proof.closing, proof.ledger, proof.drift) == (0, stripe, stripe, 0)
        assert (proof.activity, proof.payouts) == (stripe, 0)
        assert "balance   usd: opening 0.00 + activity" in "".join([line async for line in as_table(report)])
    await minutes_pass(world)
    async with proven(world) as report:
        assert (report.verdict, [proof.drift for proof in report.proofs]) == ("clean", [0])


async def drifts(world: World) -> list[int]:
    """By how much each currency's balance is more than the books and what is in flight."""
    async with proven(world) as report:
        return [proof.drift for proof in report.proofs]


async def test_a_refund_that_is_on_the_books_before_its_movement_is_seen_is_no_drift(own_world: World) -> None:
    """Also one that failed after all, and one whose movement stood in suspense before it was known."""
    world = own_world
    world.settings = replace(world.settings, reconcile_grace_s=0)
    promises = [await paid(world, payment_method=card) for card in ("pm_card_visa", FAILS_LATER)]
    await minutes_pass(world)
    for promise in promises:
        await ask_refund(world, promise, 500)
    await world.work(done=lambda: _all_made(world))
    assert await drifts(world) == [0]
    (fails,) = await refunds_of(world, promises[1])
    world.stripe.control("POST", f"refunds/{fails['stripe_refund_id']}/end", {"status": "failed"})
    await swept(world, "refunds")
    (fails,) = await refunds_of(world, promises[1])
    assert (fails["failure_transaction_id"] is not None, await drifts(world)) == (True, [0])
    await given_back(world, promises[0], 700)  # past us
    await swept(world, "balance_transactions")
    assert ((await standing(world))["suspense"], await drifts(world)) == (1, [0])
    await swept(world, "refunds")
    stand = await standing(world)  # on a slow machine it was looked at again already
    assert (set(stand) <= {"booked", "suspense"}, stand.get("suspense", 0) <= 1, await drifts(world)) == (
        True,
        True,
        [0],
    )
    await minutes_pass(world)
    assert (set(await standing(world)), await drifts(world)) == ({"booked"}, [0])


async def test_a_charge_of_another_sum_than_its_movement_is_no_drift_beside_its_suspense(own_world: World) -> None:
    world = own_world
    world.settings = replace(world.settings, reconcile_grace_s=0)
    await paid(world)
    await damage(
        world.settings.database_url,
        "UPDATE charges SET amount_minor = amount_minor - 5",
        "UPDATE postings SET amount_minor = amount_minor - 5 * sign(amount_minor)",
    )
    await swept(world, "balance_transactions")
    assert {"usd": await balance_of(world.engine, BALANCE)} == await at_stripe(world)
    assert (await standing(world), await drifts(world)) == ({"suspense": 1}, [0])


PLANTS = {
    "the ledger has another sum": "an entry of 5 usd that no movement explains",
    "a movement is not here": "DELETE FROM balance_transactions WHERE category = 'refund'",
    "a movement is not at stripe": "INSERT INTO balance_transactions (id, type, category, amount_minor, fee_minor,"
    " net_minor, currency, stripe_created, status) SELECT 'txn_planted', 'charge', 'charge', 5, 0, 5, 'usd',"
    " stripe_created, 'booked' FROM balance_transactions LIMIT 1",
    "a movement has another fee": "UPDATE balance_transactions SET fee_minor = fee_minor + 1 WHERE category = 'charge'",
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_what_is_planted_on_one_side_is_a_drift(own_world: World, plant: str) -> None:
    world = own_world
    promise = await paid(world)
    await given_back(world, promise, 700)
    await minutes_pass(world)
    await asyncio.sleep(1.1)  # a window ends with a whole second
    if plant.startswith("the ledger"):
        await book(world.engine, charged("planted", 5, account_id=promise.account_id))
    else:
        async with superuser(world.settings.database_url) as connection:
            await connection.execute(text(PLANTS[plant]))
    async with proven(world) as report:
        found = [one async for one in report.discrepancies() if one.name == "balance_drift"]
    assert {(one.currency, report.verdict) for one in found} == {("usd", "discrepancies")}
    assert "eo ledger verify" in found[0].next_step
