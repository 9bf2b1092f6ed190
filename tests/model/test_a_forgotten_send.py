"""A restored backup forgets that a charge was sent (R17). Found by the model, proven here on the real statements.

A key may be as old at Stripe as its order is here. What is posted after Stripe has forgotten it is a second charge.
"""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges.lookup import judge_lookup, windows
from service.effects.model import Outcome, Rules
from service.foundation.settings import Settings
from tests.charges.world import Books, Promise

LOST = Outcome(status="unknown", next_call="send", unclear_answers=1)
NOT_RUN = Outcome(status="sending", next_call="send", proven_unexecuted=True)


@pytest.fixture
def books(engine: AsyncEngine, settings: Settings) -> Books:
    return Books(engine, settings)


async def restored(books: Books, hours: float) -> Promise:
    """An order this old, of which the database knows no charge."""
    promise = await books.order()
    await books.run("UPDATE orders SET created_at = created_at - make_interval(secs => :s)", s=int(hours * 3600))
    return promise


async def hours_pass(books: Books, hours: float) -> None:
    await books.run("UPDATE orders SET created_at = created_at - make_interval(secs => :s)", s=int(hours * 3600))
    await books.run("UPDATE charges SET first_sent_at = first_sent_at - make_interval(secs => :s)", s=int(hours * 3600))


async def test_the_key_of_an_order_met_late_is_as_old_as_the_order(books: Books) -> None:
    promise = await restored(books, hours=19)
    opened = await books.open_one(promise)
    assert (opened.call, opened.first_send) == ("send", True)
    assert (await books.charge(promise))["first_sent_at"] == opened.born_at
    assert await books.settle(opened, LOST)
    await hours_pass(books, 2)
    assert (await books.open_one(promise)).call == "lookup", "Stripe may be about to forget it"


async def test_a_refusal_does_not_make_the_key_of_an_old_order_young(books: Books) -> None:
    promise = await restored(books, hours=19)
    assert await books.settle(await books.open_one(promise), NOT_RUN)
    await hours_pass(books, 6)
    assert (await books.open_one(promise)).call == "lookup"


async def test_a_clean_look_up_tells_the_age_and_then_it_is_sent(books: Books, settings: Settings) -> None:
    promise = await restored(books, hours=30)
    asked = await books.open_one(promise)
    assert asked.call == "lookup"
    assert await books.settle(asked, judge_lookup(asked, [], complete=True, rules=Rules.of(settings)))
    opened = await books.open_one(promise)
    assert (opened.call, opened.first_send) == ("send", True)
    assert (await books.charge(promise))["first_sent_at"] > asked.opened_at - timedelta(minutes=1)


async def test_a_young_order_is_sent_with_an_age_of_its_own(books: Books) -> None:
    promise = await restored(books, hours=3.9)
    opened = await books.open_one(promise)
    assert (await books.charge(promise))["first_sent_at"] == opened.opened_at


async def test_a_forgotten_send_is_looked_for_from_the_orders_birth(books: Books, settings: Settings) -> None:
    promise = await restored(books, hours=19)
    assert await books.settle(await books.open_one(promise), LOST)
    await hours_pass(books, 2)
    opened = await books.open_one(promise)
    (window,) = windows([opened], Rules.of(settings))
    sent = datetime.fromisoformat(opened.history[0]["at"])
    assert window.gte < opened.born_at.timestamp() < sent.timestamp() < window.lt
