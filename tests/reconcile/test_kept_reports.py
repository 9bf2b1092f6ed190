"""What a run printed can be read again from what it left in the database."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.audit import Who
from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Statement
from service.reconcile import Span, reconcile, store
from service.reconcile.acknowledging import acknowledge
from service.reconcile.kept import kept_report, newest_report, runs
from service.reconcile.report import FORMATS
from tests.reconcile.conftest import NOW, RULES
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, paid, waiting


def _differing(account: UUID) -> list[Story]:
    """Two amounts that differ, one of a hostile word, an order that is stale, and one in flight."""
    stories = [paid(account, NOW - 2 * HOUR, 1999 + n) for n in range(3)]
    stories[0].at_stripe(amount=5, amount_received=5)
    stories[1].at_stripe(amount=7, amount_received=7)
    return [*stories, waiting(account, NOW - 30 * HOUR), waiting(account, NOW)]


async def _printed(engine: AsyncEngine, stripe: FakeStripe) -> tuple[UUID, dict[str, str]]:
    async with reconcile(engine, stripe, Span(), grace_s=600, rules=RULES, now=NOW) as report:
        return report.run_id, {form: "".join([p async for p in pieces(report)]) for form, pieces in FORMATS.items()}


async def test_a_report_is_read_again_byte_for_byte(engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, _differing(account))
    first, _ = await _printed(engine, stripe)
    async with engine.connect() as connection:
        fingerprint = (await connection.execute(text("SELECT min(fingerprint) FROM discrepancies"))).scalar_one()
    await acknowledge(engine, fingerprint, who=Who("ann", "cli"), reason="<b>known</b>")
    run_id, printed = await _printed(engine, stripe)
    kept = await kept_report(engine, run_id)
    assert {form: "".join([p async for p in pieces(kept)]) for form, pieces in FORMATS.items()} == printed
    assert "<b>known</b>" in printed["csv"]
    newest = await newest_report(engine)
    assert newest is not None
    assert newest.run_id == run_id
    assert [run.id for run in await runs(engine, before=None, limit=9)] == [run_id, first]
    assert [run.id for run in await runs(engine, before=run_id, limit=9)] == [first]
    (_, second), *_rest = await kept.page(after=1, limit=1)
    assert second.fingerprint in printed["json"]


async def test_a_long_report_says_how_much_of_it_is_left_out(
    engine: AsyncEngine, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Statement(store._KEEP_LINES.template.replace(str(store._LINES_MAX), "2"))
    monkeypatch.setattr(store, "_KEEP_LINES", short)
    run_id, printed = await _printed(engine, await write(engine, _differing(account)))
    kept = await kept_report(engine, run_id)
    json_, csv = ["".join([p async for p in FORMATS[form](kept)]) for form in ("json", "csv")]
    assert kept.left_out == 2
    assert '"left_out": 2' in json_
    assert "\nleft_out,,,2," in csv
    assert "left_out" not in printed["json"] + printed["csv"]


async def test_lines_are_forgotten_after_ninety_days_and_the_run_stays(engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, _differing(account))
    run_id, _ = await _printed(engine, stripe)
    old = UUID(int=(run_id.int >> 80) - 101 * 86_400_000 << 80)
    async with engine.begin() as tx:
        values = {"old": old, "run": run_id}
        await tx.execute(
            text(
                "INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES (:old, now(), now(), '')"
            ),
            values,
        )
        await tx.execute(
            text(
                "INSERT INTO reconciliation_findings (run_id, n, class, happened_at, first_seen_at, fingerprint)"
                " SELECT :old, n, class, happened_at, first_seen_at, fingerprint FROM reconciliation_findings"
            ),
            values,
        )
    await _printed(engine, stripe)
    async with engine.connect() as connection:
        kept = set((await connection.execute(text("SELECT run_id FROM reconciliation_findings"))).scalars())
    assert old not in kept
    assert old in {run.id for run in await runs(engine, before=None, limit=9)}


async def test_a_run_that_left_no_report_is_told_from_one_that_never_was(engine: AsyncEngine) -> None:
    unfinished = uuid7()
    async with engine.begin() as tx:
        await tx.execute(
            text(
                "INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES (:id, now(), now(), '')"
            ),
            {"id": unfinished},
        )
    with pytest.raises(NotFound, match="left no report"):
        await kept_report(engine, unfinished)
    with pytest.raises(NotFound, match="no such run"):
        await kept_report(engine, uuid7())
    assert await newest_report(engine) is None
