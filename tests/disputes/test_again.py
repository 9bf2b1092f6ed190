"""With no event at all, each change is found: new disputes by the sweep, old ones within an hour, the rest in a day."""

import time
from collections.abc import AsyncIterator

import pytest

from service.disputes import DisputeSweep, WarningSweep, look_again
from service.effects.listing import in_order
from tests.charges.world import World
from tests.disputes.arguing import Bank, dispute, now, paid, row, said, settle, warning, words

DAY_S = 86_400


@pytest.fixture
async def old_world(world: World) -> World:
    """An installation that has been there for a year."""
    await world.run("UPDATE instance SET created_at = now() - interval '1 year'")
    return world


async def pass_time(world: World, bank: Bank, seconds: float, step_s: float = 150) -> None:
    """So much time goes by, in steps after each of which it is looked again."""
    for _ in range(max(1, round(seconds / step_s))):
        await world.run("UPDATE sweeps SET swept_at = swept_at - make_interval(secs => :s)", s=step_s)
        await look_again(world.engine, bank, world.settings)


def days_ago(days: float) -> int:
    return int(time.time() - days * DAY_S)


async def sweep(world: World, bank: Bank, gte: int, lt: int) -> None:
    """One sweep by the moment at which disputes were opened."""
    one = DisputeSweep()
    await one.settle(world.engine, [d async for d in in_order(lambda a, b: one.ask(bank, a, b), gte, lt)],
                     world.settings)  # fmt: skip


async def test_a_new_dispute_is_found_by_the_sweep_and_known_from_then_on(world: World) -> None:
    _, intent = await paid(world)
    bank, started = Bank([dispute(intent)]), int(time.time()) - 60
    (shown,) = bank.disputes
    await sweep(world, bank, started, started + 120)
    assert (await row(world, shown))["status"] == "needs_response"
    assert await DisputeSweep().known(world.engine, started, started + 120) == {shown.id}
    assert await DisputeSweep().known(world.engine, started, shown.created) == set()
    assert await DisputeSweep().retrieve(bank, "dp_nobody") is None


async def test_an_old_dispute_that_moved_on_is_found_within_an_hour(old_world: World) -> None:
    _, intent = await paid(old_world)
    olds = [dispute(intent, amount=100, created=days_ago(days)) for days in (70, 40, 2)]
    await settle(old_world, *olds)
    bank = Bank([now(one, word) for one, word in zip(olds, ("lost", "won", "under_review"), strict=True)])
    await pass_time(old_world, bank, 3_700)
    assert [(await row(old_world, one))["status"] for one in olds] == ["lost", "won", "under_review"]


async def test_a_piece_without_an_undecided_dispute_costs_no_call(old_world: World) -> None:
    _, intent = await paid(old_world)
    old, decided = dispute(intent, created=days_ago(48)), dispute(intent, "won", created=days_ago(24))
    await settle(old_world, old, decided)
    bank = Bank([old, decided])
    await old_world.run(
        "INSERT INTO sweeps (kind, swept_until, swept_at) SELECT kind, now(), now() + interval '1 day'"
        " FROM unnest(ARRAY['disputes.all', 'disputes.recent', 'fraud_warnings.all']) AS kind"
    )
    await pass_time(old_world, bank, 3_700)
    assert {(gte, lt) for _, gte, lt in bank.asked if gte < lt - 1} == set()
    assert {gte for _, gte, lt in bank.asked if gte == lt - 1} == {old.created}


async def test_a_decision_that_is_taken_back_is_found_within_a_day(old_world: World) -> None:
    _, intent = await paid(old_world)
    lost, won = dispute(intent, "lost", created=days_ago(120)), dispute(intent, "won", created=days_ago(3))
    await settle(old_world, lost, won)
    bank = Bank([now(lost, "appeal_under_review"), now(won, "lost")])
    await pass_time(old_world, bank, 25 * 3_600, step_s=3_600)
    assert await words(old_world, lost) == ["lost", "appeal_under_review"]
    assert await words(old_world, won) == ["won", "lost"]


async def test_a_dispute_whose_payment_was_not_known_is_found_once_it_is(old_world: World) -> None:
    promise, intent = await paid(old_world)
    await old_world.run("UPDATE charges SET payment_intent_id = NULL WHERE order_id = :id", id=promise.order_id)
    bank = Bank([dispute(intent, created=days_ago(9))], [warning(intent, created=days_ago(9))])
    await sweep(old_world, bank, days_ago(10), days_ago(0))
    assert await old_world.all("SELECT id FROM disputes") == []
    await old_world.run(
        "UPDATE charges SET payment_intent_id = :pi WHERE order_id = :id", id=promise.order_id, pi=intent
    )
    await pass_time(old_world, bank, 25 * 3_600, step_s=3_600)
    assert (await row(old_world, bank.disputes[0]))["status"] == "needs_response"
    assert len(await old_world.all("SELECT id FROM fraud_warnings")) == 1


async def test_a_payment_that_becomes_known_soon_brings_its_dispute_within_an_hour(world: World) -> None:
    promise, intent = await paid(world)
    await world.run("UPDATE charges SET payment_intent_id = NULL WHERE order_id = :id", id=promise.order_id)
    bank = Bank([dispute(intent, created=days_ago(0.5))])
    await pass_time(world, bank, 3_700)
    await world.run("UPDATE charges SET payment_intent_id = :pi WHERE order_id = :id", id=promise.order_id, pi=intent)
    await pass_time(world, bank, 3_700)
    assert (await row(world, bank.disputes[0]))["status"] == "needs_response"


async def test_a_round_leaves_no_second_out_and_begins_anew(old_world: World) -> None:
    bank = Bank()
    await pass_time(old_world, bank, 50 * 3_600, step_s=3_600)
    spans = sorted({(gte, lt) for kind, gte, lt in bank.asked if kind == "warnings" and lt - gte > 2})
    assert spans[0][0] <= days_ago(182.9)
    assert max(lt for _, lt in spans) >= int(time.time())
    reached = spans[0][0]
    for gte, lt in spans:
        assert gte <= reached
        reached = max(reached, lt)
    assert len(spans) > 40


async def test_a_piece_that_could_not_be_read_is_looked_at_again(
    old_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _, intent = await paid(old_world)
    olds = [dispute(intent, amount=9, created=days_ago(5 + n / 100)) for n in range(3)]
    await settle(old_world, *olds)
    bank = Bank([now(one, "under_review") for one in olds], cut=1)
    await pass_time(old_world, bank, 3_700)
    assert "a page could not be read" in said(caplog, "sweep.incomplete", "reason")
    assert {(await row(old_world, one))["status"] for one in olds} == {"under_review", "needs_response"}
    bank.cut = None
    await pass_time(old_world, bank, 3_700)
    assert {(await row(old_world, one))["status"] for one in olds} == {"under_review"}


async def test_a_dispute_that_the_list_does_not_show_and_that_exists_makes_it_incomplete(
    old_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _, intent = await paid(old_world)
    old = dispute(intent, created=days_ago(5))
    await settle(old_world, old)

    class Forgetful(Bank):
        async def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[object]:  # type: ignore[override]
            return
            yield

    await pass_time(old_world, Forgetful([old]), 3_700)
    assert any(old.id in reason for reason in said(caplog, "sweep.incomplete", "reason"))
    caplog.clear()
    await pass_time(old_world, Forgetful([]), 3_700)
    assert said(caplog, "sweep.incomplete", "reason") == []
    assert (await row(old_world, old))["status"] == "needs_response"


async def test_a_warning_is_swept_like_a_dispute(world: World) -> None:
    _, intent = await paid(world)
    bank, one, started = Bank(warnings=[warning(intent)]), WarningSweep(), int(time.time()) - 60
    await one.settle(world.engine, [w async for w in one.ask(bank, started, started + 120)], world.settings)
    assert await one.known(world.engine, started, started + 120) == {bank.warnings[0].id}
    shown = await one.retrieve(bank, bank.warnings[0].id)
    assert shown is not None
    assert shown.created == bank.warnings[0].created
    assert await one.retrieve(bank, "issfr_nobody") is None
