"""What was in Stripe's balance before this installation is booked once, and never again."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.balance import BalanceSweep
from service.effects.request import STRIPE_VERSION
from service.foundation.settings import Settings
from service.stripe_gateway import paths
from service.stripe_gateway.balance import Balance, Funds
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import BalanceTransaction
from service.sweeps import Sweeping
from tests.balance.support import Stripe, transaction
from tests.balance.test_both_balances import at_stripe, minutes_pass, proven, standing
from tests.charges.conftest import own_stripe, own_world
from tests.charges.world import World
from tests.recovery.forgetting import forgotten, fresh_key
from tests.recovery.refunding import paid
from tests.web.afterwards import rows

__all__ = ["own_stripe", "own_world"]

BALANCE, EQUITY, SUSPENSE = "assets:stripe:balance", "equity:opening", "suspense:stripe"


class Account(Stripe):
    """A Stripe whose balance had something in it before all of its movements that are listed."""

    def __init__(self, **had: int) -> None:
        super().__init__()
        self.had = had
        self.moves = 0  # readings during which the balance moves

    async def balance(self) -> Balance:
        self.moves -= 1
        moving = [Funds(amount=max(self.moves, 0), currency="usd")]
        listed = [Funds(amount=bt.net, currency=bt.currency) for bt in self.transactions]
        return Balance(available=[Funds(amount=n, currency=c) for c, n in self.had.items()] + moving, pending=listed)


def relay(engine: AsyncEngine, settings: Settings, stripe: Account) -> Sweeping[BalanceTransaction, Account]:
    """What sweeps the balance in one process."""

    async def always() -> bool:
        return True

    return Sweeping(engine, stripe, BalanceSweep(), settings, stripe.clock, may_go_on=always)


async def books(engine: AsyncEngine, code: str) -> dict[str, int]:
    """What an account holds, per currency."""
    return {row["currency"]: row["balance"] for row in await ledger.balances(engine) if row["account"] == code}


async def opened(engine: AsyncEngine) -> dict[str, int]:
    found = await rows(
        engine,
        "SELECT e.reference, p.amount_minor FROM journal_entries e JOIN postings p ON p.entry_id = e.id"
        " JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE e.kind = 'opening' AND l.code = :code",
        code=BALANCE,
    )
    return {row["reference"]: row["amount_minor"] for row in found}


async def test_it_is_booked_once_two_readings_agree_and_never_again(engine: AsyncEngine, settings: Settings) -> None:
    stripe = Account(usd=5000, eur=-300, jpy=0)
    stripe.transactions = [transaction("of_another_program"), transaction("new", category="teleport", type_="teleport")]
    one, other = (relay(engine, settings, stripe) for _ in range(2))
    assert await one.once()
    assert await opened(engine) == {}
    assert all(await asyncio.gather(one.once(), other.once(), one.once()))
    assert await opened(engine) == {"opening:usd": 5000, "opening:eur": -300}
    assert await books(engine, EQUITY) == {"usd": 5000, "eur": -300}, "in the normal sign of equity"
    stripe.had = {"usd": 9999, "gbp": 1}  # a movement that Stripe does not show is a drift, and no opening
    for _ in range(2):
        assert await other.once()
    assert await opened(engine) == {"opening:usd": 5000, "opening:eur": -300}
    assert await ledger.verify(engine) == []


async def test_where_nothing_was_there_the_first_sweep_says_so(engine: AsyncEngine, settings: Settings) -> None:
    stripe = Account()
    stripe.transactions = [transaction(1)]
    assert await relay(engine, settings, stripe).once()
    stripe.had = {"eur": 7}
    again = relay(engine, settings, stripe)
    assert [await again.once() for _ in range(3)] == [True, True, True]
    assert await opened(engine) == {}


async def test_readings_that_differ_are_not_believed(engine: AsyncEngine, settings: Settings) -> None:
    """Stripe's list was a moment behind its balance."""
    stripe = Account(usd=5000)
    one = relay(engine, settings, stripe)
    late = transaction("late")
    stripe.had = {"usd": 5000 + late.net}
    assert await one.once()
    stripe.had, stripe.transactions = {"usd": 5000}, [late]
    assert await one.once()
    assert await opened(engine) == {}
    assert await one.once()
    assert await opened(engine) == {"opening:usd": 5000}


async def test_a_balance_that_never_holds_still_opens_nothing_loudly(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stripe = Account(usd=5000)
    stripe.moves = 100
    one = relay(engine, settings, stripe)
    assert not await one.once()
    assert (await rows(engine, "SELECT note FROM sweeps"))[0]["note"].startswith("Stripe's balance moved during each")
    assert "sweep.incomplete" in caplog.text
    stripe.moves = 2 * 5 - 3  # it comes to rest within the readings of one sweep
    assert [await one.once() for _ in range(2)] == [True, True]
    assert await opened(engine) == {"opening:usd": 5000}


async def _another_programs(world: World) -> str:
    """A payment of another program on the same Stripe account; its id."""
    stranger = await forgotten(world, fresh_key(), payment_method="pm_card_bypassPending")
    sent = await replace(stranger, marks=replace(stranger.marks, instance=uuid4())).sent(world)
    assert sent is not None
    return sent


async def test_an_account_with_a_history_and_another_program_is_proven_to_the_cent(own_world: World) -> None:
    """Charges, a refund, a payout and a fee before the installation was; the other program goes on beside it."""
    world, control = own_world, own_world.stripe.control
    world.settings = replace(world.settings, reconcile_grace_s=0)
    first, _ = [await _another_programs(world) for _ in range(2)]
    control("POST", "payouts")
    await _another_programs(world)
    control("POST", "balance_transactions", {"type": "stripe_fee", "amount": -300, "currency": "usd"})
    control("POST", "balance_transactions", {"type": "adjustment", "amount": 900, "currency": "eur"})
    async with StripeGateway(world.settings) as gateway:
        request = {"payment_intent": first, "amount": 500}
        assert (await gateway.post(paths.REFUNDS, request, key=fresh_key(), version=STRIPE_VERSION)).refund is not None
    control("POST", "age", {"seconds": 3 * 86_400})
    history = await at_stripe(world)
    assert history["eur"] == 900
    await paid(world)
    await _another_programs(world)
    await minutes_pass(world)
    assert await opened(world.engine) == {f"opening:{currency}": minor for currency, minor in history.items() if minor}
    assert await standing(world) == {"booked": 1, "suspense": 1}
    for _ in range(2):
        assert await books(world.engine, BALANCE) == await at_stripe(world)
        assert (await books(world.engine, SUSPENSE))["usd"] > 0
        async with proven(world) as report:
            assert [(proof.currency, proof.drift) for proof in report.proofs] == [("eur", 0), ("usd", 0)]
            # The other program's payment is named once, by its own class.
            assert [one.name async for one in report.discrepancies()] == ["missing_locally"]
        await minutes_pass(world)
    assert await ledger.verify(world.engine) == []
