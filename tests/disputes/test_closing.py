"""What a decision books: what is lost, once, however often and in which order it is learnt; an appeal takes it back."""

from itertools import permutations

import pytest

from tests.charges.world import World
from tests.disputes.arguing import book, booked, dispute, movement, now, paid, references, settle

RECEIVABLE, LOST, BALANCE = "assets:disputes_receivable", "expenses:chargebacks_lost", "assets:stripe:balance"


async def test_what_is_lost_is_booked_once(world: World) -> None:
    promise, intent = await paid(world)
    took = movement(-1999)
    shown = dispute(intent, balance_transactions=[took])
    await settle(world, shown)
    await book(world, promise, shown, took)
    assert await booked(world, promise) == {BALANCE: -1999, RECEIVABLE: 1999}
    for _ in range(3):
        await settle(world, now(shown, "lost"))
    assert await booked(world, promise) == {BALANCE: -1999, LOST: 1999}
    assert await references(world, promise) == [f"dispute:{shown.id}:lost"]
    await world.balanced()


async def test_it_is_lost_before_its_movement_is_booked(world: World) -> None:
    promise, intent = await paid(world)
    took = movement(-1999)
    shown = dispute(intent, "lost", balance_transactions=[took])
    await settle(world, shown)
    assert await booked(world, promise) == {}
    await book(world, promise, shown, took)
    assert await booked(world, promise) == {BALANCE: -1999, LOST: 1999}
    await settle(world, shown)
    assert await references(world, promise) == [f"dispute:{shown.id}:lost"]


async def test_won_with_its_money_still_on_the_way_nothing_is_lost(world: World) -> None:
    promise, intent = await paid(world)
    took, gave = movement(-1999), movement(1999)
    shown = dispute(intent, balance_transactions=[took])
    await settle(world, shown)
    await book(world, promise, shown, took)
    won = now(shown, "won", balance_transactions=[took, gave])
    await settle(world, won)
    assert await booked(world, promise) == {BALANCE: -1999, RECEIVABLE: 1999}
    await book(world, promise, won, gave)
    await settle(world, won)
    assert await booked(world, promise) == {}
    assert await references(world, promise) == []


async def test_an_appeal_that_is_won_takes_back_what_was_given_up(world: World) -> None:
    promise, intent = await paid(world)
    took, gave = movement(-1999), movement(1999)
    shown = dispute(intent, "lost", balance_transactions=[took])
    await settle(world, shown)
    await book(world, promise, shown, took)
    for word in ("appeal_needs_response", "appeal_under_review", "lost", "appeal_needs_response", "lost"):
        await settle(world, now(shown, word))
        assert await booked(world, promise) == {BALANCE: -1999, LOST: 1999}
    assert await references(world, promise) == [f"dispute:{shown.id}:lost"]
    won = now(shown, "won", balance_transactions=[took, gave])
    await settle(world, won)
    await book(world, promise, won, gave)
    assert await booked(world, promise) == {}
    assert await references(world, promise) == [f"dispute:{shown.id}:lost", f"dispute:{shown.id}:won:2"]
    await world.balanced()


async def test_a_fee_of_its_own_is_none_of_what_is_lost(world: World) -> None:
    promise, intent = await paid(world)
    took, fee = movement(-1999), movement(-1500)
    shown = dispute(intent, "lost", balance_transactions=[took, fee])
    await settle(world, shown)
    for txn in (fee, took):
        await book(world, promise, shown, txn)
    assert await booked(world, promise) == {BALANCE: -3499, LOST: 1999, "expenses:stripe:dispute_fees": 1500}


@pytest.mark.parametrize("order", list(permutations(("state", "took", "gave"))))
async def test_in_whatever_order_it_is_learnt_that_a_dispute_was_won_the_books_end_equal(
    world: World, order: tuple[str, ...]
) -> None:
    promise, intent = await paid(world)
    took, gave = movement(-1999), movement(1999)
    shown = dispute(intent, balance_transactions=[took, gave])
    await settle(world, shown)
    for step in order:
        if step == "state":
            await settle(world, now(shown, "won"))
        else:
            await book(world, promise, shown, took if step == "took" else gave)
    assert await booked(world, promise) == {}
    await world.balanced()
