"""R24: while charges wait for their fees, the newest part of Stripe's list is read, and no more of it than is new."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance import Looking, book_shown, looking
from service.foundation.settings import Settings
from tests.balance.support import Stripe, due, now, paid, run, standing, transaction

OLDER_BY_A_SECOND = "UPDATE charges SET charged_at = charged_at - interval '1 s'"


async def test_young_charges_cost_one_listing(engine: AsyncEngine, settings: Settings) -> None:
    others = [transaction(f"other{n}", at=now() - timedelta(seconds=400 - n)) for n in range(300)]
    await paid(engine, *range(30), at=now() - timedelta(seconds=5))
    stripe = Stripe([*others, *(transaction(n, at=now() - timedelta(seconds=4)) for n in range(30))])
    await Looking(engine, stripe, settings).once()
    assert await due(engine) == set()
    assert stripe.asked == [(int(now().timestamp()) - 7, None)], "by the charge's moment, not the payment's"
    assert stripe.shown == 30


async def test_a_look_ends_where_all_is_known(engine: AsyncEngine, settings: Settings) -> None:
    """A charge whose movement does not come had every look list all that came after it."""
    await paid(engine, "late", at=now() - timedelta(seconds=90))
    stripe = Stripe([transaction(f"other{n}", at=now() - timedelta(seconds=n // 20)) for n in range(1_500)])
    eye = Looking(engine, stripe, settings)
    await eye.once()
    assert len(await standing(engine)) == 1_500
    stripe.shown = 0
    stripe.transactions.append(transaction("new", at=now() + timedelta(seconds=1)))
    await run(engine, "UPDATE charges SET charged_at = charged_at + interval '80 s'")
    eye._asked_at = None
    eye._whole_to = int(now().timestamp()) - 2
    await paid(engine, "new", at=now() - timedelta(seconds=90))
    await eye.once()
    assert await due(engine) == {"ch_late"}
    assert stripe.shown <= 2 * looking.PAGE


async def test_after_a_listing_that_broke_off_the_next_look_reads_what_it_did_not_show(
    engine: AsyncEngine, settings: Settings
) -> None:
    await paid(engine, *range(300), at=now() - timedelta(seconds=30))
    stripe = Stripe([transaction(n, at=now() - timedelta(seconds=n // 20)) for n in range(300)], breaks_after=150)
    eye = Looking(engine, stripe, settings)
    await eye.once()
    stripe.breaks_after = None
    eye._asked_at = None
    await eye.once()
    assert await due(engine) == set()


async def test_a_fee_that_does_not_come_is_asked_for_ever_more_rarely(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1)
    stripe = Stripe()
    eye = Looking(engine, stripe, settings)
    for _ in range(900):
        await eye.once()
        await run(engine, OLDER_BY_A_SECOND)
        if eye._asked_at:
            eye._asked_at -= timedelta(seconds=1)
    assert 5 < len(stripe.asked) < 40


async def test_what_is_known_already_costs_no_call(engine: AsyncEngine, settings: Settings) -> None:
    """Its movement was seen before a worker settled the charge."""
    stripe = Stripe([transaction(1)])
    await book_shown(engine, stripe.transactions)
    await paid(engine, 1)
    await run(engine, "UPDATE balance_transactions SET look_at = now()")
    await Looking(engine, stripe, settings).once()
    assert (await due(engine), stripe.asked) == (set(), [])


async def test_a_look_reads_so_many_and_no_more(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LISTED_MAX", 200)
    await paid(engine, "old", at=now() - timedelta(seconds=60))
    stripe = Stripe([transaction(f"other{n}", at=now() - timedelta(seconds=n // 20)) for n in range(1_000)])
    await Looking(engine, stripe, settings).once()
    assert (stripe.shown, len(await standing(engine))) == (200, 200)
