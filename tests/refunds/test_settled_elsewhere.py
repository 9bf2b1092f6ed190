"""Payments that Stripe settles in another currency: booked once, by what its balance got, whatever is known when."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from service import ledger, orders
from service.effects import Rules
from service.foundation.postgres.sql import Connection, begin
from service.reconcile import Span, reconcile
from service.recovery import heal, heal_refund
from service.refunds import REFUND, OpenRefund
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import BalanceTransaction
from tests.balance.support import all_looked_at, sweep_balance
from tests.charges.wishes import ask_refund
from tests.charges.world import Promise, World
from tests.refunds.giving_back import ASKS, PENDS, paid, refund, sums

pytestmark = pytest.mark.slow


def settles(world: World, currency: str, settles_in: str | None, rate: str | None = None) -> None:
    world.stripe.control("POST", "settlement", {"currency": currency, "settles_in": settles_in, "rate": rate})


async def sweep(world: World) -> None:
    """What moved Stripe's balance is read and booked, as the relay does; what waits has its time come."""
    await sweep_balance(world.engine, world.settings)
    await all_looked_at(world.engine, world.settings)


async def movements(gateway: StripeGateway) -> list[BalanceTransaction]:
    return [bt async for bt in gateway.list_balance_transactions(0)]


async def balances(world: World) -> dict[str, int]:
    """What stands on each account, debit > 0; an account of nothing is left out."""
    found = await ledger.balances(world.engine)
    return {f"{row['account']} {row['currency']}": row["debit"] - row["credit"] for row in found if row["balance"]}


async def agree(world: World) -> None:
    """The books are whole, equal to Stripe's balance in every currency, and nothing differs."""
    await agree_but_for(world)


async def agree_but_for(world: World, *classes: str) -> None:
    async with StripeGateway(world.settings) as gateway:
        held: dict[str, int] = {}
        for bt in await movements(gateway):
            held[bt.currency] = held.get(bt.currency, 0) + bt.net
        ours = {key: n for key, n in (await balances(world)).items() if key.startswith("assets:stripe:balance")}
        assert ours == {f"assets:stripe:balance {currency}": net for currency, net in held.items() if net}
        assert set(await reconciled(world, gateway)) <= {*classes}
    await world.balanced()


async def reconciled(world: World, gateway: StripeGateway) -> list[str]:
    rules = Rules.of(world.settings)
    async with reconcile(world.engine, gateway, Span(), grace_s=0, rules=rules) as report:
        return sorted({found.name async for found in report.discrepancies()})


async def references(world: World, promise: Promise) -> list[str]:
    return [str(entry["reference"]).rpartition(":")[0] for entry in await world.entries(promise)]


async def test_the_first_charge_of_a_currency_is_booked_anew_and_the_next_waits(own_world: World) -> None:
    world = own_world
    settles(world, "eur", "usd", "1.0842")
    first = await paid(world, currency="eur")
    assert await references(world, first) == ["charge"], "nobody could know"
    await sweep(world)
    assert sorted(await references(world, first)) == ["charge", "fee", "reversal:charge", "settled:charge"]
    await agree(world)
    before = await balances(world)
    await sweep(world)
    assert await balances(world) == before
    next_one = await paid(world, currency="eur")
    assert await references(world, next_one) == [], "its balance transaction will tell"
    await world.balanced()
    await sweep(world)
    assert sorted(await references(world, next_one)) == ["charge", "fee"]
    plain = await paid(world)
    assert await references(world, plain) == ["charge"]
    await sweep(world)
    await agree(world)
    row = await world.charge(next_one)
    assert (row["settlement_currency"], row["settled_minor"]) == ("usd", 2167)


async def test_refunds_in_parts_at_other_rates_strand_nothing(own_world: World) -> None:
    """One of them fails, and what it left owed is drawn by the next."""
    world = own_world
    settles(world, "eur", "usd", "1.0842")
    order = await paid(world, currency="eur", payment_method=PENDS)
    await sweep(world)
    for amount, rate, end in ((333, "1.11", "succeeded"), (777, "0.93", "failed"), (444, "1.2", "succeeded")):
        settles(world, "eur", "usd", rate)
        await world.deliver(asked := await ask_refund(world, order, amount))
        await world.balanced()
        shown = (await refund(world, asked))["stripe_refund_id"]
        world.stripe.control("POST", f"refunds/{shown}/end", {"status": end})
        await world.deliver(asked)
        assert (await refund(world, asked))["status"] == end
        await agree_but_for(world, "owed")
    settles(world, "eur", "usd", "1.3")
    await world.deliver(asked := await ask_refund(world, order, 1999 - 333 - 444))
    world.stripe.control(
        "POST", f"refunds/{(await refund(world, asked))['stripe_refund_id']}/end", {"status": "succeeded"}
    )
    await world.deliver(asked)
    assert await sums(world, order) == (1999, 0, 0)
    await agree(world)
    held = await balances(world)
    assert (held["contra:refunds usd"], held["revenue:orders usd"]) == (2167, -2167)
    assert "liabilities:refunds_payable usd" not in held
    assert held["income:fx usd"] != 0
    assert not any(key.endswith(" eur") for key in held)


async def test_what_refunds_did_before_their_charge_was_known_is_booked_with_it(own_world: World) -> None:
    """One was promised while nobody knew of another currency, one told it, and one came between."""
    world = own_world
    world.stripe.control("POST", "fees", {"delay_s": 3600})
    settles(world, "eur", "usd", "1.0842")
    order = await paid(world, currency="eur", payment_method=ASKS)
    await world.deliver(pending := await ask_refund(world, order, 700))
    assert await references(world, order) == ["charge", "refund_pending"]
    await world.deliver(told := await ask_refund(world, order, 500))
    world.stripe.control(
        "POST", f"refunds/{(await refund(world, told))['stripe_refund_id']}/end", {"status": "succeeded"}
    )
    await world.deliver(told)
    await world.deliver(between := await ask_refund(world, order, 200))
    assert [(await refund(world, one))["status"] for one in (pending, told, between)] == [
        "processing", "succeeded", "processing",
    ]  # fmt: skip
    await world.balanced()
    await sweep(world)
    await world.balanced()
    assert not any(" usd" in key for key in await balances(world)), "what took the charge's money is not known"
    world.stripe.control("POST", "fees/flush")
    await sweep(world)
    await agree_but_for(world, "in_flight")
    held = await balances(world)
    assert (held["contra:refunds usd"], held["liabilities:refunds_payable usd"]) == (1400 * 2167 // 1999, -975)
    for one in (pending, between):
        shown = (await refund(world, one))["stripe_refund_id"]
        world.stripe.control("POST", f"refunds/{shown}/end", {"status": "succeeded"})
        await world.deliver(one)
    await agree(world)
    assert not any(key.endswith(" eur") for key in await balances(world))


async def test_whatever_dies_in_between_it_is_booked_anew_once(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = own_world
    world.stripe.control("POST", "fees", {"delay_s": 3600})
    settles(world, "eur", "usd", "1.0842")
    order = await paid(world, currency="eur", payment_method=ASKS)
    await world.deliver(await ask_refund(world, order, 700))
    world.stripe.control("POST", "fees/flush")
    before = await balances(world)

    async def dies(_tx: Connection, _charges: list[UUID]) -> Any:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr("service.charges.moved.promises", dies)
        with pytest.raises(ConnectionResetError):
            await sweep(world)
    assert await balances(world) == before
    await asyncio.gather(sweep(world), sweep(world))
    assert sorted(await references(world, order)) == sorted(
        ["charge", "refund_pending", "reversal:charge", "reversal:refund_pending", "settled:charge",
         "settled:refund_pending", "fee"]
    )  # fmt: skip
    await agree_but_for(world, "in_flight")


async def test_a_refund_that_is_settled_while_its_charge_is_booked_anew_is_booked_as_the_charge_is(
    own_world: World,
) -> None:
    world = own_world
    world.stripe.control("POST", "fees", {"delay_s": 3600})
    settles(world, "eur", "usd", "1.0842")
    order = await paid(world, currency="eur", payment_method=PENDS)
    (held,) = await world.open_effects(await ask_refund(world, order, 700))
    assert isinstance(held, OpenRefund)
    async with StripeGateway(world.settings) as gateway:
        answer = await REFUND.send(gateway, held)
    outcome = REFUND.spoken(held, answer)
    assert outcome is not None
    world.stripe.control("POST", "fees/flush")
    async with begin(world.engine) as tx:
        await orders.lock(tx, [order.order_id])
        both = [
            asyncio.create_task(world.settle(held, outcome, answer=answer)),
            asyncio.create_task(sweep(world)),
        ]
        await _two_wait(world)
    await asyncio.gather(*both)
    await agree_but_for(world, "in_flight")
    assert not any(key.endswith(" eur") for key in await balances(world))


async def _two_wait(world: World) -> None:
    async with asyncio.timeout(10):
        while len(await world.all("SELECT 1 FROM pg_locks WHERE NOT granted")) < 2:
            await asyncio.sleep(0.01)


async def test_what_a_version_before_has_booked_in_its_own_currency_is_named_and_healed(own_world: World) -> None:
    """Such a charge is marked, and its refund was booked as if the balance had moved in the customer's currency."""
    world = own_world
    settles(world, "eur", "usd", "1.0842")
    order = await paid(world, currency="eur")
    await world.deliver(asked := await ask_refund(world, order, 700))
    made, charge = await refund(world, asked), await world.charge(order)
    of: dict[str, Any] = {"account_id": order.account_id, "order_id": order.order_id}
    of |= {"payment_intent_id": charge["payment_intent_id"], "stripe_refund_id": made["stripe_refund_id"]}
    of |= {"amount_minor": 700, "currency": "eur", "occurred_at": made["stripe_created"]}
    async with begin(world.engine) as tx:
        await ledger.post(
            tx, [e for e in (ledger.refund_pending_entry(drawn_minor=0, **of), ledger.refund_entry(**of)) if e]
        )
    async with StripeGateway(world.settings) as gateway:
        (bt,) = [one for one in await movements(gateway) if one.source == charge["stripe_charge_id"]]
        await world.run("UPDATE charges SET balance_transaction_id = :bt, settlement_currency = 'usd'", bt=bt.id)
        assert await reconciled(world, gateway) == ["in_flight", "missing_locally"]
        for dry_run in (True, False):
            before = await balances(world)
            await heal(world.engine, gateway, world.settings, charge["payment_intent_id"], dry_run=dry_run)
            assert (await balances(world) == before) is dry_run
        assert await reconciled(world, gateway) == ["refund_missing_locally"]
        for _ in range(2):
            await heal_refund(world.engine, gateway, world.settings, made["stripe_refund_id"], dry_run=False)
            await heal(world.engine, gateway, world.settings, charge["payment_intent_id"], dry_run=False)
            await agree(world)
    assert not any(key.endswith(" eur") for key in await balances(world))
