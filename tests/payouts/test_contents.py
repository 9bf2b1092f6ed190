"""What is in a payout is listed once, page by page; the sweep also finds what no event told."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import payouts
from service.foundation.settings import Settings
from service.payouts import PayoutSweep, contents
from service.payouts import sweep as sweep_of_payouts
from service.payouts.contents import list_contents
from service.stripe_gateway.objects import IncompleteListing
from tests.payouts.bodies import DAY, MADE, Stripe, movement, payout
from tests.payouts.conftest import balances, said, stored
from tests.web.afterwards import rows

LISTABLE: dict[str, Any] = {"reconciliation_status": "completed"}


async def known(engine: AsyncEngine, *movements: dict[str, Any]) -> None:
    """Movements that the sweep of Stripe's balance has brought."""
    for one in movements:
        await rows(
            engine,
            """INSERT INTO balance_transactions (id, type, category, source, amount_minor, fee_minor, net_minor,
                   currency, stripe_created, status)
               VALUES (:id, :type, :category, :source, :amount, :fee, :net, :currency, :created, 'booked')""",
            **{name: one[name] for name in ("id", "type", "source", "amount", "fee", "net", "currency")},
            category=one["reporting_category"],
            created=datetime.fromtimestamp(one["created"], UTC),
        )  # fmt: skip


async def swept(engine: AsyncEngine, until: int) -> None:
    """Stripe's balance has been swept so far."""
    await rows(
        engine,
        """INSERT INTO sweeps (kind, swept_until, swept_at) VALUES ('balance_transactions', :until, now())
           ON CONFLICT (kind) DO UPDATE SET swept_until = :until""",
        until=datetime.fromtimestamp(until, UTC),
    )


async def inside(engine: AsyncEngine, payout_id: str = "po_1") -> list[str]:
    """What is stored as in it."""
    found = await rows(engine, "SELECT id FROM balance_transactions WHERE payout_id = :id ORDER BY id", id=payout_id)
    return [row["id"] for row in found]


def own(payout_id: str = "po_1") -> dict[str, Any]:
    """A payout's own movement, which Stripe lists beside what it pays out."""
    words = {"type": "payout", "reporting_category": "payout", "source": payout_id}
    return movement(id=f"txn_{payout_id}", amount=-1411, net=-1411, fee=0, created=MADE, **words)


async def test_what_is_in_it_is_listed_once_without_its_own_movement(engine: AsyncEngine) -> None:
    parts = [movement(id="txn_1"), movement(id="txn_2", type="refund", source="re_1", created=MADE - 5)]
    await known(engine, *parts, own(), movement(id="txn_of_another"))
    await swept(engine, MADE + 1)
    stripe = Stripe(contents={"po_1": [*parts, own(), movement(id="txn_before_us")]})
    await payouts.settle(engine, [payout("in_transit", **LISTABLE)])
    await list_contents(engine, stripe)
    assert await inside(engine) == ["txn_1", "txn_2"]
    assert (await stored(engine))["listed_at"] is not None
    stripe.calls.clear()
    await list_contents(engine, stripe)
    assert stripe.calls == []


@pytest.mark.parametrize(
    "changes",
    [{"reconciliation_status": "in_progress"}, {"reconciliation_status": "not_applicable"},
     {"automatic": False, **LISTABLE}, {"reconciliation_status": "a_new_word"}],
)  # fmt: skip
async def test_stripe_is_not_asked_before_it_can_say_what_is_in_it(
    engine: AsyncEngine, changes: dict[str, Any]
) -> None:
    await swept(engine, MADE + 1)
    stripe = Stripe(contents={"po_1": [movement()]})
    await payouts.settle(engine, [payout("paid", **changes)])
    await list_contents(engine, stripe)
    assert stripe.calls == []


async def test_the_movements_are_swept_first(engine: AsyncEngine) -> None:
    """One that the sweep brings a moment later would be missed for ever."""
    stripe = Stripe(contents={"po_1": [movement()]})
    await payouts.settle(engine, [payout("paid", **LISTABLE)])
    await list_contents(engine, stripe)
    await swept(engine, MADE - 1)
    await list_contents(engine, stripe)
    assert (stripe.calls, await inside(engine)) == ([], [])
    await known(engine, movement())
    await swept(engine, MADE + 1)
    await list_contents(engine, stripe)
    assert await inside(engine) == ["txn_1"]


async def test_a_listing_that_breaks_off_goes_on_where_it_was_and_holds_up_no_other(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    many = [movement(id=f"txn_{n:03}", created=MADE - 1_000 - n // 3) for n in range(250)]
    await known(engine, *many, movement(id="txn_other"))
    await swept(engine, MADE + 1)
    await payouts.settle(engine, [payout("paid", id=po, **LISTABLE) for po in ("po_1", "po_2")])
    stripe = Stripe(contents={"po_1": many, "po_2": [movement(id="txn_other")]}, breaks_after=230)
    await list_contents(engine, stripe)
    assert (len(await inside(engine)), await inside(engine, "po_2")) == (200, ["txn_other"])
    assert [name for name, _ in said(caplog)] == ["payout.contents_incomplete"]
    assert (await stored(engine))["listed_at"] is None
    await list_contents(engine, stripe)
    assert len(await inside(engine)) == 250
    assert (await stored(engine))["listed_at"] is not None


async def test_a_turn_ends_and_the_next_one_goes_on(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "PAGES_MAX", 2)
    many = [movement(id=f"txn_{n:03}", created=MADE - 1_000 - n) for n in range(450)]
    await known(engine, *many[:250])
    await swept(engine, MADE + 1)
    await payouts.settle(engine, [payout("paid", **LISTABLE)])
    stripe = Stripe(contents={"po_1": many})
    await list_contents(engine, stripe)
    assert (len(await inside(engine)), (await stored(engine))["listed_at"]) == (200, None)
    await list_contents(engine, stripe)
    assert len(await inside(engine)) == 250
    assert (await stored(engine))["listed_at"] is not None, "what is not known here is no place to stop"


async def test_a_failure_that_no_event_told_is_found(engine: AsyncEngine, settings: Settings) -> None:
    """The list by `created` shows only what is new: what may still change is read again, days after it was paid."""
    now = int(datetime.now(UTC).timestamp())
    old: dict[str, Any] = {"created": now - 8 * DAY, "arrival_date": now - 6 * DAY}
    stripe, sweep = Stripe(), PayoutSweep()
    stripe.shows(payout("paid", **old), payout("paid", id="po_new", created=now - DAY, arrival_date=now + DAY))
    await payouts.settle(engine, [*stripe.payouts.values()])
    stripe.shows(payout("failed", **old))
    stripe.calls.clear()
    await sweep.beside(engine, stripe, settings)
    assert (await stored(engine))["status"] == "failed"
    assert await balances(engine) == {"assets:bank": 1411, "assets:payouts_in_transit": -1411}, "the other one's"
    assert len(stripe.calls) == 3, "one page, and two questions that prove it"


@pytest.mark.parametrize("page", [1, 100])
async def test_what_was_read_again_before_a_listing_broke_off_is_settled(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(sweep_of_payouts, "PAGE", page)
    now = int(datetime.now(UTC).timestamp())
    made = [now - n * DAY for n in (1, 2, 3)]
    stripe, ids = Stripe(), ("po_1", "po_2", "po_3")
    stripe.shows(*(payout("in_transit", id=po, created=at) for po, at in zip(ids, made, strict=True)))
    await payouts.settle(engine, [*stripe.payouts.values()])
    stripe.shows(*(payout("paid", id=po, created=at) for po, at in zip(ids, made, strict=True)))
    stripe.payouts_break_after = 2
    with pytest.raises(IncompleteListing):
        await PayoutSweep().beside(engine, stripe, settings)
    assert [(await stored(engine, po))["status"] for po in ids] == ["paid", "paid", "in_transit"]
    stripe.payouts_break_after = None
    await PayoutSweep().beside(engine, stripe, settings)
    assert [(await stored(engine, po))["status"] for po in ids] == ["paid"] * 3


async def test_what_can_change_no_more_is_not_read_again(engine: AsyncEngine, settings: Settings) -> None:
    now = int(datetime.now(UTC).timestamp())
    long_ago: dict[str, Any] = {"created": now - 20 * DAY, "arrival_date": now - 12 * DAY}
    just_now: dict[str, Any] = {"created": now - 3 * DAY, "arrival_date": now - DAY, "automatic": False}
    stripe = Stripe()
    stripe.shows(payout("paid", **long_ago), payout("failed", id="po_2", **just_now))
    await payouts.settle(engine, [*stripe.payouts.values()])
    await PayoutSweep().beside(engine, stripe, settings)
    assert stripe.calls == []
    await payouts.settle(engine, [payout("in_transit", id="po_3", **long_ago)])
    stripe.shows(payout("paid", id="po_3", **long_ago))
    await PayoutSweep().beside(engine, stripe, settings)
    assert (await stored(engine, "po_3"))["status"] == "paid", "one that is on its way is read at any age"


async def test_the_sweep_knows_what_its_list_must_show(engine: AsyncEngine, settings: Settings) -> None:
    sweep, stripe = PayoutSweep(), Stripe()
    stripe.shows(payout("paid"), payout("paid", id="po_2", created=MADE + 10))
    shown = [one async for one in sweep.ask(stripe, MADE, MADE + 10)]
    await sweep.settle(engine, shown, settings)
    assert await sweep.known(engine, MADE, MADE + 10) == {"po_1"}
    assert await sweep.known(engine, MADE + 1, MADE + 10) == set()
    assert await sweep.retrieve(stripe, "po_2") == stripe.payouts["po_2"]
    assert await sweep.retrieve(stripe, "po_3") is None
