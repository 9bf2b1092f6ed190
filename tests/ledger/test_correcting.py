"""What was booked under another moment than its charge's is corrected by reversal and new entry, never by change."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service import ledger
from service.charges.redating import redate_once
from service.foundation.postgres import migrate
from service.foundation.postgres.db import bare_engine, create_engine
from service.foundation.postgres.sql import Connection, begin
from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from service.stripe_gateway.objects import Charge, IncompleteListing, Intent
from tests.ledger.support import ALICE, NOON, balance_of, book, charged, count, superuser

DAY = timedelta(days=1)
REVENUE = "revenue:orders"


async def redate(engine: AsyncEngine, name: str, moment: datetime) -> ledger.PostResult:
    async with begin(engine) as connection:
        return await ledger.redate(connection, ALICE, ledger.charge_reference(f"ch_{name}"), moment)


async def test_a_corrected_booking_counts_from_its_charges_moment_in_every_balance(engine: AsyncEngine) -> None:
    await book(engine, charged("late", 100), charged("right", 1))
    await ledger.rollup(engine)
    assert await balance_of(engine, REVENUE, as_of=NOON + timedelta(hours=1)) == 101
    booked = (await redate(engine, "late", NOON + DAY)).booked
    assert [entry.reference for entry in booked] == ["reversal:charge:ch_late", "redated:charge:ch_late"]
    for _ in range(2):  # before and after they are rolled up
        assert await balance_of(engine, REVENUE, as_of=NOON + timedelta(hours=1)) == 1
        assert await balance_of(engine, REVENUE, as_of=NOON + DAY) == 1
        assert await balance_of(engine, REVENUE, as_of=NOON + DAY + timedelta(seconds=1)) == 101
        assert await balance_of(engine, REVENUE) == 101
        await ledger.rollup(engine)
    assert await ledger.verify(engine) == []


async def test_a_correction_changes_nothing_that_is_booked_and_happens_once(engine: AsyncEngine) -> None:
    await book(engine, charged("late", 100))
    async with engine.connect() as connection:
        before = (await connection.execute(text("SELECT e::text, p::text FROM journal_entries e, postings p"))).all()
    await asyncio.gather(*(redate(engine, "late", NOON + DAY) for _ in range(3)))
    async with engine.connect() as connection:
        kept = text("SELECT e::text, p::text FROM journal_entries e JOIN postings p ON p.entry_id = e.id")
        after = (await connection.execute(kept)).all()
    assert set(before) <= set(after)
    assert await count(engine, "journal_entries") == 3


async def test_a_booking_that_is_right_or_not_there_is_left_alone(engine: AsyncEngine) -> None:
    await book(engine, charged("right", 100))
    assert await redate(engine, "right", NOON) == ledger.PostResult()
    assert await redate(engine, "unknown", NOON) == ledger.PostResult()


class Stripe:
    """Shows each PaymentIntent with a charge made `later` than itself."""

    def __init__(self, later: timedelta) -> None:
        self.later = later
        self.asked: list[str] = []
        self.away = False

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        self.asked.append(intent_id)
        if self.away:
            raise IncompleteListing("away")
        name = intent_id.removeprefix("pi_")
        created = int((NOON + self.later).timestamp())
        charge = Charge(id=f"ch_{name}", created=created, amount=1, currency="usd", status="succeeded", captured=True)
        return Intent(
            id=intent_id,
            created=int(NOON.timestamp()),
            amount=1,
            currency="usd",
            status="succeeded",
            metadata={},
            latest_charge=charge,
        )


def _placed(name: str, booked_after: timedelta) -> list[str]:
    """The rows of a charge as version 0005 left them, booked so long after its PaymentIntent was made."""
    at, booked = f"'{NOON.isoformat()}'", f"'{(NOON + booked_after).isoformat()}'"
    order = f"(SELECT id FROM orders WHERE idempotency_key = '{name}')"
    return [
        f"""INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, status)
            VALUES (gen_random_uuid(), '{ALICE}', '{name}', '', 100, 'usd', 'paid')""",
        f"""INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status,
              request, stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
              balance_transaction_id, life)
            SELECT gen_random_uuid(), '{ALICE}', {order}, 1, '{name}', 100, 'usd', 'succeeded', '{{}}', '', true,
              'pi_{name}', 'ch_{name}', {at}, 'txn_{name}', 1""",
        "SET LOCAL session_replication_role = replica",
        "ALTER TABLE journal_entries DISABLE TRIGGER ALL",
        f"UPDATE journal_entries SET created_at = {booked} WHERE reference = 'charge:ch_{name}'",
        "ALTER TABLE journal_entries ENABLE ALWAYS TRIGGER journal_entries_no_change",
    ]


@pytest.fixture
def older(postgres: Postgres, admin: Callable[[str], object]) -> str:
    """A database as version 0005 left it."""
    admin("DROP DATABASE IF EXISTS older WITH (FORCE)")
    admin("CREATE DATABASE older")
    url = postgres.database_url("older")
    migrate.upgrade(url, "0005")
    return url


_BOOK = """
WITH opened AS (
  INSERT INTO ledger_accounts (account_id, code, currency, type)
  VALUES (:account, :debit, 'usd', 'asset'), (:account, :credit, 'usd', 'income')
  ON CONFLICT DO NOTHING RETURNING id, code
), accounts AS (
  SELECT * FROM opened UNION SELECT id, code FROM ledger_accounts WHERE account_id = :account
), entry AS (
  INSERT INTO journal_entries (id, account_id, reference, kind, digest, payment_intent_id, occurred_at)
  VALUES (gen_random_uuid(), :account, :reference, :kind, :digest, :intent, :at) RETURNING *
)
INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
SELECT entry.id, leg.line, accounts.id, 'usd', leg.amount, entry.occurred_at
  FROM entry,
       (VALUES (1, :debit, CAST(:amount AS bigint)), (2, :credit, -CAST(:amount AS bigint))) leg (line, code, amount)
  JOIN accounts ON accounts.code = leg.code
"""


async def _book_as_0005_did(connection: AsyncConnection, entry: ledger.JournalEntry) -> None:
    debit, credit = entry.postings
    values = {
        "account": entry.account_id,
        "debit": debit.code,
        "credit": credit.code,
        "reference": entry.reference,
        "kind": entry.kind,
        "digest": entry.digest,
        "intent": entry.payment_intent_id,
        "at": entry.occurred_at,
        "amount": debit.amount_minor,
    }
    await connection.execute(text(_BOOK), values)


async def _booked_by_the_version_before(url: str, booked_after: dict[str, timedelta]) -> None:
    async with superuser(url) as connection:
        for name, later in booked_after.items():
            await _book_as_0005_did(connection, charged(name, 100))
            for statement in _placed(name, later):
                await connection.execute(text(statement))


def test_a_migrated_database_asks_stripe_only_for_what_may_be_wrong_and_corrects_that(older: str) -> None:
    booked_after = {"at_once": timedelta(seconds=2), "late": DAY, "slow": timedelta(minutes=5)}
    asyncio.run(_booked_by_the_version_before(older, booked_after))
    migrate.upgrade(older)
    asyncio.run(_corrects(older))
    migrate.downgrade(older, "0005")
    migrate.upgrade(older)  # the corrections have stayed, and are right
    asyncio.run(_holds(older, entries=5))


async def _corrects(url: str) -> None:
    engine = create_engine(Settings(database_url=url), name="test")
    stripe = Stripe(later=DAY)
    stripe.away = True
    assert await redate_once(engine, stripe) == 2
    assert await redate_once(engine, stripe) == 0, "not asked again at once"
    async with superuser(url) as connection:
        await connection.execute(text("UPDATE undated_charges SET look_at = now()"))
        await connection.execute(
            text("UPDATE charges SET stripe_charge_id = 'ch_other' WHERE payment_intent_id = 'pi_slow'")
        )
    stripe.away = False
    assert await redate_once(engine, stripe) == 2
    assert set(stripe.asked) == {"pi_late", "pi_slow"}
    assert await count(engine, "undated_charges") == 0
    assert await balance_of(engine, REVENUE, as_of=NOON + timedelta(hours=1)) == 200
    assert await balance_of(engine, REVENUE) == 300
    await engine.dispose()
    await _holds(url, entries=5)


def test_a_booking_that_cannot_be_corrected_stands_in_nobodys_way(older: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_booked_by_the_version_before(older, {"bad": DAY, "late": DAY}))
    migrate.upgrade(older)
    redate = ledger.redate

    async def refuses_one(tx: Connection, account_id: UUID, reference: str, at: datetime) -> ledger.PostResult:
        if reference == "charge:ch_bad":
            raise ValueError("a posting of zero")
        return await redate(tx, account_id, reference, at)

    monkeypatch.setattr(ledger, "redate", refuses_one)
    asyncio.run(_corrects_the_other(older))
    asyncio.run(_holds(older, entries=4))


async def _corrects_the_other(url: str) -> None:
    engine = create_engine(Settings(database_url=url), name="test")
    async with superuser(url) as connection:
        await connection.execute(
            text(
                "UPDATE undated_charges SET look_at = look_at - interval '1 hour' WHERE charge_id ="
                " (SELECT id FROM charges WHERE payment_intent_id = 'pi_bad')"
            ),
        )
    assert await redate_once(engine, Stripe(later=DAY)) == 2
    assert await redate_once(engine, Stripe(later=DAY)) == 0, "and it is not asked for in every round"
    assert await count(engine, "undated_charges") == 1, "nor forgotten"
    assert await balance_of(engine, REVENUE, as_of=NOON + timedelta(hours=1)) == 100
    await engine.dispose()


async def _holds(url: str, *, entries: int) -> None:
    engine = bare_engine(url)  # as the owner: a downgrade takes the rights of the role
    assert await count(engine, "journal_entries") == entries
    assert await ledger.verify(engine) == []
    await engine.dispose()
