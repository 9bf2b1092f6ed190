"""R38: with no event at all each payout is followed to the bank and back, at a stand-in of Stripe, to the cent."""

from typing import Any

from service import ledger
from service.effects import Rules
from service.payouts import entries, get, page
from service.reconcile import Span, reconcile
from service.stripe_gateway.client import StripeGateway
from tests.balance.test_both_balances import BALANCE, SUSPENSE, at_stripe, minutes_pass
from tests.charges.conftest import own_stripe, own_world
from tests.charges.wishes import ask_refund
from tests.charges.world import World
from tests.ledger.support import balance_of
from tests.reconcile.records import default_account
from tests.recovery.refunding import paid

__all__ = ["own_stripe", "own_world"]

AT_ONCE = "pm_card_bypassPending"
BANK, TRANSIT = "assets:bank", "assets:payouts_in_transit"


def pays_out(world: World) -> dict[str, Any]:
    """The day's payout, of the one currency there is; what it took can be listed."""
    (made,) = world.stripe.control("POST", "payouts")["payouts"]
    found: dict[str, Any] = world.stripe.control("POST", f"payouts/{made['id']}/reconcile")
    return found


def ends(world: World, payout: dict[str, Any], status: str) -> None:
    world.stripe.control("POST", f"payouts/{payout['id']}/end", {"status": status})


async def held(world: World) -> tuple[int, int]:
    """What is at the bank, and what is on its way to it."""
    return await balance_of(world.engine, BANK), await balance_of(world.engine, TRANSIT)


async def assert_both_agree(world: World) -> None:
    """Stripe's balance is the ledger's, the books hold, and a run finds nothing of payouts."""
    assert {"usd": await balance_of(world.engine, BALANCE)} == {"usd": 0} | await at_stripe(world)
    assert await balance_of(world.engine, SUSPENSE) == 0
    assert await ledger.verify(world.engine) == []
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
    ):
        assert report.verdict != "incomplete"
        assert [found async for found in report.discrepancies() if found.payout is not None] == []


async def test_a_payout_arrives_fails_and_is_in_the_next_ones_contents(own_world: World) -> None:
    world, account = own_world, await default_account(own_world.engine)
    promises = [await paid(world, payment_method=AT_ONCE) for _ in range(2)]
    await ask_refund(world, promises[0], 500)
    await world.work(done=lambda: _is_made(world))
    world.stripe.control("POST", "fees/flush")
    first = pays_out(world)
    assert first["amount"] == 2 * 1911 - 500
    await minutes_pass(world)
    assert await held(world) == (0, first["amount"])
    inside, _ = await entries(world.engine, first["id"], limit=100, before=None)
    assert sum(entry.net for entry in inside) == first["amount"], "what is in it is its amount"
    assert sorted((entry.kind, entry.order_id) for entry in inside) == sorted(
        [("charge", str(one.order_id)) for one in promises] + [("refund", str(promises[0].order_id))]
    )
    await assert_both_agree(world)

    ends(world, first, "paid")
    await minutes_pass(world)
    assert await held(world) == (first["amount"], 0)
    shown = await get(world.engine, account, first["id"])
    assert (shown.status, shown.trace_id is not None) == ("paid", True)
    await assert_both_agree(world)

    ends(world, first, "failed")
    await minutes_pass(world)
    assert await held(world) == (0, 0)
    assert (await get(world.engine, account, first["id"])).failure is not None
    await assert_both_agree(world)

    second = pays_out(world)
    await minutes_pass(world)
    inside, _ = await entries(world.engine, second["id"], limit=100, before=None)
    assert [(entry.kind, entry.net) for entry in inside] == [("payout_reversal", first["amount"])]
    ends(world, second, "canceled")
    await minutes_pass(world)
    assert await held(world) == (0, 0)
    found, _ = await page(world.engine, account, limit=10, before=None, status=None)
    assert {one.id: one.status for one in found} == {first["id"]: "failed", second["id"]: "canceled"}
    await assert_both_agree(world)


async def _is_made(world: World) -> bool:
    return not await world.all("SELECT 1 FROM refunds WHERE stripe_refund_id IS NULL")


async def test_a_balance_below_nothing_is_filled_from_the_bank(own_world: World) -> None:
    """A payout with a negative amount."""
    world = own_world
    promise = await paid(world, payment_method=AT_ONCE)
    world.stripe.control("POST", "fees/flush")
    taken = pays_out(world)
    ends(world, taken, "paid")
    await ask_refund(world, promise, 500)
    await world.work(done=lambda: _is_made(world))
    world.stripe.control("POST", "refunds/flush")
    await minutes_pass(world)
    given = pays_out(world)
    assert given["amount"] < 0
    ends(world, given, "paid")
    await minutes_pass(world)
    assert await held(world) == (taken["amount"] + given["amount"], 0)
    await assert_both_agree(world)
    assert len(await world.all("SELECT 1 FROM payouts WHERE listed_at IS NOT NULL")) == 2
