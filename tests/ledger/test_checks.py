"""`verify` finds each kind of damage by name, and nothing on healthy books."""

import tracemalloc
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.ledger import JournalEntry, Money, checks, opening_entry, reversal_entry
from tests.ledger.support import BOB, NOON, book, charged, damage
from tests.reconcile.records import default_account

A = "(SELECT id FROM journal_entries WHERE reference = 'charge:ch_a')"
DAMAGE = {
    "one leg changed": (
        f"UPDATE postings SET amount_minor = 1 WHERE entry_id = {A} AND line = 1",
        {"entry_unbalanced", "ledger_unbalanced", "rollup_differs", "entry_altered"},
    ),
    "both legs changed": (
        f"UPDATE postings SET amount_minor = 2 * amount_minor WHERE entry_id = {A}",
        {"rollup_differs", "entry_altered"},
    ),
    "a leg removed": (
        f"DELETE FROM postings WHERE entry_id = {A} AND line = 2",
        {"entry_unbalanced", "ledger_unbalanced", "entry_too_short", "rollup_differs", "entry_altered"},
    ),
    "all legs removed": (f"DELETE FROM postings WHERE entry_id = {A}", {"entry_too_short", "rollup_differs"}),
    "an entry removed": ("DELETE FROM journal_entries WHERE reference = 'charge:ch_a'", {"posting_orphaned"}),
    "legs added later": (
        f"""INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
            SELECT entry_id, line + 2, ledger_account_id, currency, amount_minor, occurred_at
              FROM postings WHERE entry_id = {A}""",
        {"posting_added_later", "entry_altered"},
    ),
    "a leg at another time": (
        f"UPDATE postings SET occurred_at = occurred_at + interval '1 day' WHERE entry_id = {A} AND line = 1",
        {"posting_added_later", "rollup_differs"},
    ),
    "a leg onto another owner's account": (
        f"""UPDATE postings p SET ledger_account_id = o.id FROM ledger_accounts m, ledger_accounts o
             WHERE m.id = p.ledger_account_id AND o.code = m.code AND o.account_id <> m.account_id
               AND p.entry_id = {A} AND line = 1""",
        {"posting_misplaced", "rollup_differs"},
    ),
    "a leg onto no account": (
        f"UPDATE postings SET ledger_account_id = 999 WHERE entry_id = {A} AND line = 1",
        {"posting_misplaced", "rollup_differs", "entry_altered"},
    ),
    "an account of another type": (
        "UPDATE ledger_accounts SET type = 'liability' WHERE code = 'revenue:orders'",
        {"account_not_in_chart"},
    ),
    "a reference changed": (
        f"UPDATE journal_entries SET reference = 'charge:ch_z' WHERE id = {A}",
        {"entry_altered"},
    ),
    "an order forgotten": (f"UPDATE journal_entries SET payment_intent_id = NULL WHERE id = {A}", {"entry_altered"}),
    "a customer's amount added": (
        f"UPDATE journal_entries SET customer_minor = 1, customer_currency = 'eur' WHERE id = {A}",
        {"entry_altered"},
    ),
    "a time changed": (
        f"UPDATE journal_entries SET occurred_at = occurred_at - interval '1 us' WHERE id = {A}",
        {"entry_altered", "posting_added_later"},
    ),
    "a digest changed": (f"UPDATE journal_entries SET digest = '\\x01' WHERE id = {A}", {"entry_altered"}),
    "a rollup changed": ("UPDATE ledger_rollups SET debit_minor = debit_minor + 1", {"rollup_differs"}),
    "a rollup lost": ("DELETE FROM ledger_rollups", {"rollup_differs"}),
    "the horizon moved over unrolled postings": (
        "UPDATE ledger_horizon SET xid = pg_current_xact_id()",
        {"rollup_differs"},
    ),
}


@pytest.fixture
async def books(engine: AsyncEngine) -> AsyncEngine:
    """Two charges rolled up, one since."""
    await book(engine, charged("a"), charged("b", account_id=BOB))
    await ledger.rollup(engine)
    await book(engine, charged("c", currency="jpy"))
    return engine


async def test_healthy_books_have_no_findings(books: AsyncEngine) -> None:
    assert await ledger.verify(books) == []


async def test_empty_books_have_no_findings(engine: AsyncEngine) -> None:
    assert await ledger.verify(engine) == []


@pytest.mark.parametrize("kind", DAMAGE)
async def test_each_kind_of_damage_is_found_by_name(books: AsyncEngine, database: str, kind: str) -> None:
    statement, names = DAMAGE[kind]
    await damage(database, statement)
    findings = await ledger.verify(books)
    assert {finding.name for finding in findings} == names
    assert all(finding.ids and finding.detail for finding in findings)


async def test_a_charge_booked_as_revenue_and_as_duplicate_is_found(engine: AsyncEngine) -> None:
    entry = charged("a")
    duplicate = ledger.duplicate_entry(
        account_id=entry.account_id,
        order_id=None,
        payment_intent_id=None,
        stripe_charge_id="ch_a",
        amount_minor=1999,
        currency="usd",
        occurred_at=entry.occurred_at,
    )
    await book(engine, entry, duplicate)
    assert [finding.name for finding in await ledger.verify(engine)] == ["charge_booked_twice"]


def opening(account_id: UUID) -> JournalEntry:
    entry = opening_entry(account_id=account_id, had=Money(500_000, "usd"), occurred_at=NOON)
    assert entry is not None
    return entry


async def test_an_opening_is_found_where_the_books_were_not_opened_or_not_there(
    engine: AsyncEngine, database: str
) -> None:
    """What a restored dump or a hand has left would be refused, or counted a second time."""
    ours = opening(await default_account(engine))
    await book(engine, ours)
    assert [(f.name, f.ids[1], f.detail) for f in await ledger.verify(engine)] == [
        ("opening_misplaced", "opening:usd", "the books of this database are not opened yet")
    ]
    await damage(database, "UPDATE instance SET balance_opened_at = now()")
    assert await ledger.verify(engine) == []
    await book(engine, reversal_entry(ours), replace(ours, reference="charge:ch_x", kind="charge"), opening(BOB))
    found = [(f.name, f.ids[1], f.detail) for f in await ledger.verify(engine)]
    assert sorted(found) == [
        ("opening_misplaced", "charge:ch_x", "an entry of kind charge moves the opening"),
        ("opening_misplaced", "opening:usd", "the books begin in another account than the default one"),
    ]


def test_every_pass_is_shown_to_find_something() -> None:
    elsewhere = {
        "charge_booked_twice",
        "refunded_too_much",
        "payable_differs",
        "payout_not_even",
        "movement_booked_otherwise",
        "opening_misplaced",
    }
    shown = set().union(*(names for _, names in DAMAGE.values()), elsewhere)
    assert shown == {*checks._PASSES, "entry_altered"}


async def test_a_fault_everywhere_is_not_listed_a_million_times(
    engine: AsyncEngine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book(engine, *(charged(f"{n}") for n in range(30)))
    await damage(database, "UPDATE journal_entries SET digest = ''")
    monkeypatch.setattr(checks, "FINDINGS_MAX", 7)
    monkeypatch.setattr(checks, "STREAM_ROWS", 4)  # entries that straddle two fetches are whole entries
    assert len(await ledger.verify(engine)) == 7


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_ledger(engine: AsyncEngine) -> None:
    for start in range(0, 20_000, 500):
        await book(engine, *(charged(f"{n}") for n in range(start, start + 500)))
    await ledger.verify(engine)  # imports and caches are not the ledger's size
    tracemalloc.start()
    try:
        assert await ledger.verify(engine) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000  # all 40,000 rows at once are about 40 MB
