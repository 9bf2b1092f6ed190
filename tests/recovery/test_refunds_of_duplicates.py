"""An order was paid twice, and somebody refunds the second payment at Stripe: its money leaves suspense, and no sum of
the order changes.
"""

from collections.abc import Awaitable, Callable

import pytest

from service import ledger
from service.effects.model import Rules
from service.foundation.errors import Conflict
from service.reconcile import Span, reconcile
from service.reconcile.healing import Healer
from service.recovery import Step, Verdict, adopt_refund, heal, heal_refund
from service.stripe_gateway.client import StripeGateway
from tests.balance.support import sweep_balance
from tests.charges.world import Promise, World
from tests.operators import OPERATOR
from tests.recovery.forgetting import asked, forgotten, fresh_key
from tests.recovery.refunding import asks, forgets, given_back, lost_refund, paid, refunds_of, sums

pytestmark = pytest.mark.slow


async def paid_twice(world: World, card: str = "pm_card_visa") -> Promise:
    """An order of 1999 usd with two successes: its second is in suspense."""
    world.stripe.control("POST", "fees", {"delay_s": 0})
    order = await paid(world)
    twice = await forgotten(world, order.key, order_id=order.order_id, attempt=2, payment_method=card)
    intent = str(await twice.sent(world))
    async with StripeGateway(world.settings) as gateway:
        assert (await heal(world.engine, gateway, world.settings, intent, dry_run=False)).step is Step.ADOPT
    await sweep_balance(world.engine, world.settings)
    assert (await world.charge(order, 2))["status"] == "duplicate"
    assert await suspended(world, order) == 1999
    return order


async def suspended(world: World, order: Promise) -> int:
    """What is in suspense of the order, in minor units."""
    row = await world.one(
        "SELECT coalesce(-sum(p.amount_minor), 0)::bigint AS n FROM journal_entries e"
        " JOIN postings p ON p.entry_id = e.id JOIN ledger_accounts l ON l.id = p.ledger_account_id"
        " WHERE e.order_id = :id AND l.code = 'suspense:stripe'",
        id=order.order_id,
    )
    return int(row["n"])


async def adopted(world: World, refund_id: str) -> Verdict:
    async with StripeGateway(world.settings) as gateway:
        refund = await gateway.retrieve_refund(refund_id)
        assert refund is not None
        return await adopt_refund(world.engine, refund, world.settings)


async def by_reconciliation(world: World, refund_id: str) -> None:
    said: list[str] = []
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
    ):
        await Healer(world.engine, gateway, world.settings, said.append).heal(report, who=OPERATOR)
    assert [words.rpartition(": ")[2] for words in said if refund_id in words] == ["adopted"]


async def found(world: World, order: Promise) -> list[str]:
    """The classes of what reconciliation finds of the order."""
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
    ):
        return [d.name async for d in report.discrepancies() if d.order_id == order.order_id]


async def by_healing(world: World, refund_id: str) -> None:
    async with StripeGateway(world.settings) as gateway:
        verdict = await heal_refund(world.engine, gateway, world.settings, refund_id, dry_run=False)
    assert verdict == Verdict(Step.ADOPT)


async def by_adopting(world: World, refund_id: str) -> None:
    assert [(await adopted(world, refund_id)).step for _ in range(2)] == [Step.ADOPT, Step.NOTHING]


async def by_a_new_life(world: World, refund_id: str) -> None:
    del refund_id
    await forgets(world)
    assert await asked(world) is None


@pytest.mark.parametrize("way", [by_reconciliation, by_healing, by_adopting, by_a_new_life])
async def test_the_refund_of_a_duplicate_empties_suspense_and_touches_no_sum_of_its_order(
    remembering: World, way: Callable[[World, str], Awaitable[None]]
) -> None:
    world, order = remembering, await paid_twice(remembering)
    assert await found(world, order) == ["duplicate_charge"]
    refund_id = await given_back(world, order, 1999, attempt=2)
    assert await found(world, order) == ["refund_missing_locally"]
    await way(world, refund_id)
    (row,) = await refunds_of(world, order)
    assert (row["status"], row["stripe_refund_id"], row["producer_key"]) == ("succeeded", refund_id, None)
    assert row["charge_id"] == (await world.charge(order, 2))["id"]
    assert await sums(world, order) == (0, 0, 0)
    assert await suspended(world, order) == 0
    assert [e["kind"] for e in await world.entries(order) if "refund" in e["kind"]] == ["refund_duplicate"]
    assert await found(world, order) == []
    await world.balanced()
    assert await ledger.verify(world.engine) == []


async def test_the_orders_own_money_is_refunded_beside_it(remembering: World) -> None:
    """The cap is that of the one success, whatever went back of the other payment."""
    world, order = remembering, await paid_twice(remembering)
    await by_adopting(world, await given_back(world, order, 1999, attempt=2))
    await asks(world, order, fresh_key(), amount=1500)
    with pytest.raises(Conflict, match=r"4\.99"):
        await asks(world, order, fresh_key(), amount=500)
    await world.work()
    assert await sums(world, order) == (1500, 0, 0)
    assert (await world.one("SELECT charge_id FROM refunds WHERE producer_key IS NOT NULL AND order_id = :id",
                            id=order.order_id))["charge_id"] == (await world.charge(order, 1))["id"]  # fmt: skip
    assert await found(world, order) == []
    assert await ledger.verify(world.engine) == []


async def test_a_duplicate_that_went_back_in_part_stays_in_suspense_with_the_rest(remembering: World) -> None:
    world, order = remembering, await paid_twice(remembering)
    await by_adopting(world, await given_back(world, order, 700, attempt=2))
    assert (await suspended(world, order), await found(world, order)) == (1299, ["duplicate_charge"])
    await by_adopting(world, await given_back(world, order, 1299, attempt=2))
    assert (await suspended(world, order), await found(world, order)) == (0, [])
    assert await sums(world, order) == (0, 0, 0)


async def test_a_refund_of_a_duplicate_that_fails_is_in_suspense_again_and_nobody_is_owed(remembering: World) -> None:
    world, order = remembering, await paid_twice(remembering)
    refund_id = await given_back(world, order, 1999, attempt=2)
    await by_adopting(world, refund_id)
    world.stripe.control("POST", f"refunds/{refund_id}/end", {"status": "failed"})
    assert (await adopted(world, refund_id)).step is Step.SETTLE
    assert (await refunds_of(world, order))[0]["status"] == "failed"
    assert (await sums(world, order), await suspended(world, order)) == ((0, 0, 0), 1999)
    assert await found(world, order) == ["duplicate_charge"]
    assert await ledger.verify(world.engine) == []
    await by_adopting(world, await given_back(world, order, 1999, attempt=2))
    assert (await suspended(world, order), await found(world, order)) == (0, [])
    await world.balanced()


async def test_a_duplicates_refund_that_waits_has_left_suspense_and_ends_no_discrepancy(remembering: World) -> None:
    world, order = remembering, await paid_twice(remembering, "pm_card_pendingRefund")
    refund_id = await given_back(world, order, 1999, attempt=2)
    await adopted(world, refund_id)
    assert (await refunds_of(world, order))[0]["status"] == "processing"
    assert (await sums(world, order), await suspended(world, order)) == ((0, 0, 0), 0)
    assert await ledger.verify(world.engine) == []
    assert "duplicate_charge" in await found(world, order), "Stripe's sum counts a refund that has not succeeded"
    world.stripe.control("POST", f"refunds/{refund_id}/end", {"status": "succeeded"})
    await adopted(world, refund_id)
    assert (await sums(world, order), await suspended(world, order)) == ((0, 0, 0), 0)
    assert await found(world, order) == []


async def test_a_duplicates_refund_that_is_settled_and_not_booked_is_booked(remembering: World) -> None:
    world, order = remembering, await paid_twice(remembering)
    refund_id = await given_back(world, order, 1999, attempt=2)
    first = await lost_refund(world, order, 1)
    second = await world.charge(order, 2)
    await world.run(
        "INSERT INTO refunds (id, account_id, order_id, charge_id, amount_minor, currency, status, stripe_refund_id,"
        " request, stripe_version) VALUES (:id, :account, :order, :charge, 1999, 'usd', 'succeeded', :re, '{}', '')",
        id=first.marks.refund_id, account=order.account_id, order=order.order_id, charge=second["id"], re=refund_id,
    )  # fmt: skip
    async with StripeGateway(world.settings) as gateway:
        verdict = await heal_refund(world.engine, gateway, world.settings, refund_id, dry_run=False)
    assert (verdict.step, await suspended(world, order)) == (Step.SETTLE, 0)
    assert await ledger.verify(world.engine) == []
