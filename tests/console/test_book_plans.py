"""A page reads what it shows, however much there is beside it: its statements go by an index."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import account, cursors, outbox, parked, reconciliation
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings
from service.ledger import rollup
from service.reconcile import kept
from tests.console.plans import rows_read
from tests.reconcile.records import default_account

WAITING, PARKED, RESOLVED, OPEN, RUNS, ENTRIES, DAYS = 20_000, 400, 20_000, 150, 3_000, 20_000, 20
LIMIT = 101
DAY = datetime(2026, 10, 1, tzinfo=UTC)
_TABLES = "outbox discrepancies reconciliation_runs reconciliation_findings acknowledgements postings notices"

_FILL = {
    "outbox": Statement("""
INSERT INTO outbox (id, account_id, order_id, kind, deliver_after, published, last_error, parked_at)
SELECT gen_random_uuid(), :account, gen_random_uuid(), 'charge', now() + n * interval '1 s', n % 2,
       CASE WHEN n % 4 = 0 THEN 'poison: again' ELSE 'refused: 403' END,
       CASE WHEN n <= CAST(:parked AS int) THEN now() - n * interval '1 s' END
  FROM generate_series(1, CAST(:waiting AS int)) AS n
"""),
    "runs": Statement("""
INSERT INTO reconciliation_runs (id, window_start, window_end, source, verdict)
SELECT CAST(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid), now(), now(), 'api', 'clean'
  FROM generate_series(1, CAST(:runs AS int)) AS n
"""),
    "discrepancies": Statement("""
INSERT INTO discrepancies (fingerprint, class, first_run_id, last_run_id, first_seen_at, last_seen_at, resolved_at)
SELECT encode(sha256(CAST(CAST(n AS text) AS bytea)), 'hex'), 'amount_mismatch', r.id, r.id, now() - n * interval '1 s',
       now(), CASE WHEN n > CAST(:open AS int) THEN now() END
  FROM generate_series(1, CAST(:resolved AS int)) AS n, (SELECT id FROM reconciliation_runs LIMIT 1) AS r
"""),
    "accounts": Statement("""
INSERT INTO ledger_accounts (account_id, code, currency, type)
VALUES (:account, 'assets:stripe:balance', 'usd', 'asset'), (:account, 'revenue:orders', 'usd', 'income')
"""),
    "entries": Statement("""
WITH made AS (
  INSERT INTO journal_entries (id, account_id, reference, kind, digest, occurred_at)
  SELECT CAST(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid), :account, 'charge:' || n, 'charge',
         '', CAST(:day AS timestamptz) + n * CAST(:days AS int) * interval '1 day' / CAST(:entries AS int)
    FROM generate_series(1, CAST(:entries AS int)) AS n
  RETURNING id, occurred_at
)
INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
SELECT made.id, l.line, l.id, 'usd', CASE l.line WHEN 1 THEN 5 ELSE -5 END, made.occurred_at
  FROM made, (SELECT id, row_number() OVER (ORDER BY id) AS line FROM ledger_accounts) AS l
 ORDER BY made.id, l.line
"""),
}
_VACUUM = [Statement(f"VACUUM (ANALYZE) {table}") for table in _TABLES.split()]


@pytest.fixture
async def full(engine: AsyncEngine, database: str) -> AsyncEngine:
    """The application's engine on a database that has been in use for a while."""
    sizes = {"waiting": WAITING, "parked": PARKED, "resolved": RESOLVED, "open": OPEN, "runs": RUNS}
    values = {"account": await default_account(engine), "entries": ENTRIES, "days": DAYS, "day": DAY, **sizes}
    async with connect(engine) as connection:
        for statement in _FILL.values():
            await connection.run(statement, {name: values[name] for name in statement.names})
    await rollup(engine)
    owner = create_engine(Settings(database_url=database), name="owner", as_app=False, pool=1)
    async with connect(owner) as connection:
        for statement in _VACUUM:
            await connection.run(statement)
    await owner.dispose()
    return engine


async def test_pages_read_what_they_show(full: AsyncEngine) -> None:
    place, name = cursors.read("")
    listed = {"place": place, "id": name, "limit": LIMIT}
    read = {str(shelf): await rows_read(full, statement, **listed) for shelf, statement in outbox._LISTS.items()}
    read["a page of parked rows"] = await rows_read(full, parked._LIST, reason=None, **listed)
    read["runs"] = await rows_read(full, kept._RUNS, before=UUID(int=2**128 - 1), limit=LIMIT)
    read["open"] = await rows_read(full, reconciliation._LIST, place=place, after="", name=None, limit=LIMIT)
    assert max(read.values()) <= LIMIT + OPEN, read


async def test_groups_read_what_is_parked_or_open_and_nothing_else(full: AsyncEngine) -> None:
    place, name = cursors.read("")
    read = {
        "groups": await rows_read(full, parked._GROUPS),
        "a group": await rows_read(full, parked._LIST, reason="poison", place=place, id=name, limit=LIMIT),
        "all of a group": await rows_read(full, parked._IDS, reason="poison", until=datetime.now(UTC)),
    }
    assert max(read.values()) <= PARKED, read
    assert await rows_read(full, reconciliation._CLASSES) <= OPEN
    # Each state is counted up to its bound, and the first of each is found by an index.
    assert await rows_read(full, outbox._COUNTS) <= 2 * (outbox.COUNTED_MAX + 1) + PARKED + 10


async def test_a_statement_reads_rollups_and_a_day_of_postings(full: AsyncEngine) -> None:
    """The small index of postings knows blocks of 128 pages, a day and a half of these."""
    days = await rows_read(full, account._DAYS, accounts=[1], before=date.max, limit=LIMIT)
    assert days <= DAYS + 3, "a row per day, and the horizon; no posting is read"
    begins = DAY + timedelta(days=7)
    values = {"place": begins, "until": begins + timedelta(days=1), "id": UUID(int=0), "limit": LIMIT}
    day = await rows_read(full, account._BOOKED, accounts=[1], **values)
    assert day < 2 * ENTRIES, "only a part of the table"
    found = await account.account_day(full, "assets:stripe:balance", "usd", begins.date(), "")
    assert len(found.entries) == account.PAGE
    assert found.after
    second = await account.account_day(full, "assets:stripe:balance", "usd", begins.date(), found.after)
    assert second.entries[0].occurred_at > found.entries[-1].occurred_at


async def test_a_statement_adds_up(full: AsyncEngine) -> None:
    found = await account.account_days(full, "assets:stripe:balance", "usd", None)
    assert found.days[0].closing == 5 * ENTRIES
    assert all(later.opening == earlier.closing for later, earlier in zip(found.days, found.days[1:], strict=False))
    assert found.days[-1].opening == 0
    owed = await account.account_days(full, "revenue:orders", "usd", None)
    assert owed.days[0].closing == 5 * ENTRIES, "income is shown in its normal sign"


def test_rates_are_of_the_last_minute_and_begin_anew_after_a_crash() -> None:
    sampled = outbox.Sampled()
    assert sampled.add(0, 100, 90) is None
    assert sampled.add(2, 120, 100) is None, "too soon to tell"
    assert sampled.add(10, 200, 140) == outbox.Rates(10.0, 5.0, 10)
    assert sampled.add(100, 900, 840) is None, "what it could be compared with is too old"
    assert sampled.add(106, 960, 840) == outbox.Rates(10.0, 0.0, 6)
    assert sampled.add(107, 3, 1) is None, "the server lost its counts"
    assert sampled.add(112, 8, 1) == outbox.Rates(1.0, 0.0, 5)
