"""What a run must not conclude from what it could not read, and what it remembers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.reconcile import CutShort, Span, reconcile, sources
from service.stripe_gateway.objects import Intent
from tests.reconcile.conftest import NOW, RULES, Ask
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, intent, names, paid, waiting

OLD = NOW - 3 * HOUR
DAY = Span(datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
BEFORE, LAST = datetime(2026, 11, 18, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC)


# --- what was not read


@pytest.mark.parametrize("breaks_after", [0, 1])
async def test_a_listing_that_breaks_off_never_reads_as_clean(
    ask: Ask, engine: AsyncEngine, account: UUID, breaks_after: int
) -> None:
    stripe = await write(engine, [paid(account, OLD), paid(account, OLD - HOUR)])
    stripe.breaks_after = breaks_after
    outcome = await ask(stripe)
    assert outcome.verdict == "incomplete"
    assert outcome.names == ["source_incomplete"], "what was not shown is not missing"
    assert "500" in str(outcome.found[0].stripe)


async def test_what_was_seen_before_a_listing_broke_off_is_still_told(ask: Ask) -> None:
    stripe = FakeStripe([intent(OLD), intent(OLD - HOUR)])
    stripe.breaks_after = 1
    assert (await ask(stripe)).names == ["source_incomplete", "missing_locally"]


async def test_an_order_paid_by_what_was_not_shown_is_still_paid(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    story = paid(account, OLD - HOUR)
    story.intents.append(intent(OLD, metadata=names(story.order)))
    stripe = await write(engine, [story])
    stripe.breaks_after = 1
    assert (await ask(stripe)).names == ["source_incomplete", "duplicate_charge"]


async def test_an_edge_that_cannot_be_read_is_incomplete_not_missing(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = paid(account, OLD)
    stripe = await write(engine, [story])
    stripe.unreadable = {story.intent.id}
    stripe.intents.clear()
    outcome = await ask(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])


async def test_a_listing_that_shows_an_item_twice_is_not_believed_and_makes_no_duplicate(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    class Twice(FakeStripe):
        async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
            for _ in range(2):
                async for found in super().list_payment_intents(created_gte, created_lt):
                    yield found

    stripe = await write(engine, [paid(account, OLD)])
    assert (await ask(Twice(list(stripe.intents.values())))).names == ["source_incomplete"]


async def test_a_listing_that_ends_early_is_never_clean(ask: Ask) -> None:
    class OnePage(FakeStripe):
        async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
            shown = 0
            async for found in super().list_payment_intents(created_gte, created_lt):
                yield found
                shown += 1
                if shown == 2:
                    return

    planted = [replace(intent(OLD - n * HOUR / 60), status="canceled") for n in range(9)]
    assert (await ask(OnePage(planted))).names == ["source_incomplete"]


async def test_a_listing_without_a_payment_that_we_know_is_never_clean(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    class Hides(FakeStripe):
        async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
            async for found in super().list_payment_intents(created_gte, created_lt):
                if found.id != known.intent.id:
                    yield found

    known, other = paid(account, OLD), paid(account, OLD - HOUR)
    stripe = await write(engine, [known, other])
    outcome = await ask(Hides(list(stripe.intents.values())))
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])
    assert known.intent.id in str(outcome.found[0].stripe)


async def test_a_payment_that_stripe_has_deleted_is_a_discrepancy_and_stops_nothing(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    gone, other = paid(account, OLD), paid(account, OLD - HOUR)
    stripe = await write(engine, [gone, other])
    del stripe.intents[gone.intent.id]
    assert (await ask(stripe)).names == ["missing_at_stripe"]


async def test_a_charge_made_while_stripe_is_read_is_no_discrepancy(
    engine: AsyncEngine, account: UUID, ask: Ask
) -> None:
    class Busy(FakeStripe):
        async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
            await write(engine, [late])
            return await super().retrieve_payment_intent(intent_id)

    late, missing = paid(account, OLD), paid(account, OLD)
    missing.intents.clear()
    await write(engine, [missing])
    assert (await ask(Busy([]))).names == ["missing_at_stripe", "in_flight"]


async def test_a_day_larger_than_a_chunk_is_read_whole(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", 3)
    stripe = FakeStripe([intent(OLD + timedelta(seconds=n)) for n in range(8)])
    assert [d.payment_intent for d in (await ask(stripe)).found] == list(stripe.intents)


# --- what is remembered


async def test_the_same_difference_keeps_its_fingerprint_and_its_age(
    engine: AsyncEngine, account: UUID, ask: Ask
) -> None:
    stripe = await write(engine, [_broken(account)])
    first, second = [(await ask(stripe, None, NOW + n * HOUR)).only("amount_mismatch") for n in (0, 1)]
    assert (first.fingerprint, first.first_seen) == (second.fingerprint, NOW)
    assert (second.first_seen, second.age_s - first.age_s) == (NOW, 3600)
    row = (await _rows(engine, "SELECT first_seen_at, last_seen_at, first_run_id <> last_run_id FROM discrepancies"))[0]
    assert tuple(row) == (NOW, NOW + HOUR, True)


async def test_what_is_in_flight_or_unread_is_not_remembered(engine: AsyncEngine, account: UUID, ask: Ask) -> None:
    stripe = await write(engine, [waiting(account, NOW)])
    stripe.breaks_after = 0
    assert (await ask(stripe)).names == ["source_incomplete", "in_flight"]
    assert await _rows(engine, "SELECT * FROM discrepancies") == []


async def test_a_run_is_recorded_with_its_window_and_totals(engine: AsyncEngine, account: UUID, ask: Ask) -> None:
    await ask(await write(engine, [paid(account, LAST)]), DAY)
    run = (await _rows(engine, "SELECT *, totals->'usd'->'stripe'->>'gross' AS gross FROM reconciliation_runs"))[0]
    assert (run.window_start, run.window_end, run.source, run.verdict) == (DAY.since, DAY.until, "api", "clean")
    assert (run.gross, run.finished_at is not None) == ("1999", True)


async def test_a_run_that_died_half_way_says_nothing(engine: AsyncEngine) -> None:
    class Dies(FakeStripe):
        async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
            async for found in super().list_payment_intents(created_gte, created_lt):
                yield found
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        async with reconcile(engine, Dies([]), Span(), grace_s=600, rules=RULES, now=NOW):
            pass
    run = (await _rows(engine, "SELECT verdict, finished_at FROM reconciliation_runs"))[0]
    assert tuple(run) == (None, None)


async def test_a_database_that_goes_away_half_way_is_no_verdict(engine: AsyncEngine, database: str) -> None:
    class Cuts(FakeStripe):
        async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
            connection = await asyncpg.connect(database)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'eo test'"
            )
            await connection.close()
            async for found in super().list_payment_intents(created_gte, created_lt):
                yield found

    with pytest.raises(CutShort, match="PostgreSQL cannot be reached"):
        async with reconcile(engine, Cuts([]), Span(), grace_s=600, rules=RULES, now=NOW):
            pass
    assert (await _rows(engine, "SELECT verdict FROM reconciliation_runs"))[0].verdict is None


def _broken(account: UUID) -> Story:
    story = paid(account, OLD)
    story.at_stripe(amount=1)
    return story


async def _rows(engine: AsyncEngine, statement: str) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(statement))).all())
