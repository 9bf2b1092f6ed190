"""An order is found by each name that it has anywhere, and each way there reads a handful of rows, not a table."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import finding
from service.console.finding import find
from service.foundation.postgres.schema.accepting import OPERATIONS
from service.ledger.journal import charge_reference, duplicate_reference
from tests.console.plans import rows_read
from tests.ledger.support import superuser
from tests.reconcile.records import default_account

ORDERS, WANTED = 3_000, 1_234
HANDFUL = 30
# Of each of so many orders, a row of everything that has a name. An id of ours is the digest of its kind and number.
EVERYTHING = {
    "orders (account_id, id, idempotency_key, fingerprint, amount_minor, currency)":
        "{order}, 'key_' || n, '', 5, 'usd'",
    "order_aliases (account_id, id, order_id)": "{alias}, {order}",
    "operations (account_id, id, operation, idempotency_key, order_id, fingerprint, answered)":
        "{operation}, 'cancel', 'asked_' || n, {order}, '', 200",
    "charges (account_id, id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,"
    " stripe_version, maybe_executed, life, payment_intent_id, history)":
        "{charge}, {order}, 1, 'wire_' || n, 5, 'usd', 'succeeded', '{{}}', 'v', true, 1, 'pi_' || n,"
        " jsonb_build_array(jsonb_build_object('request_id', 'req_' || n))",
    "changes (account_id, id, order_id, charge_id, kind, wanted_by, request, stripe_version)":
        "{change}, {order}, {charge}, 'cancel', 'producer', '{{}}', 'v'",
    "refunds (account_id, id, order_id, charge_id, amount_minor, currency, request, stripe_version, producer_key,"
    " stripe_refund_id)": "{refund}, {order}, {charge}, 5, 'usd', '{{}}', 'v', 'back_' || n, 're_' || n",
    "journal_entries (account_id, id, order_id, reference, kind, digest, occurred_at)":
        "{entry}, {order}, 'charge:ch_' || n, 'charge', '', now()",
    "disputes (account_id, id, order_id, charge_id, status, amount_minor, currency, stripe_created)":
        "'du_' || n, {order}, {charge}, 'needs_response', 5, 'usd', now()",
    "fraud_warnings (account_id, id, order_id, charge_id, fraud_type, actionable, stripe_created)":
        "'issfr_' || n, {order}, {charge}, 'misc', true, now()",
    "balance_transactions (account_id, id, order_id, type, category, amount_minor, fee_minor, net_minor, currency,"
    " stripe_created)": "'txn_' || n, {order}, 'charge', 'charge', 5, 0, 5, 'usd', now()",
    "notices (account_id, id, order_id, endpoint_id, webhook_id, type, object_id, body, status)":
        "{notice}, {order}, {order}, 'webhook_' || n, 'order.paid', 'o', '{{}}', 'delivered'",
}  # fmt: skip
UNGUARDED = ("SET LOCAL session_replication_role = replica", "ALTER TABLE journal_entries DISABLE TRIGGER ALL")
EVENTS = """INSERT INTO stripe_events (id, type, thin, source, stripe_created, object_id)
SELECT 'evt_' || n, 'charge.dispute.created', false, 'webhook', now(), 'du_' || n"""
OWN = ("order", "alias", "operation", "charge", "change", "refund", "entry", "notice")
BY_ID = [name for name in OWN if name not in ("operation", "entry")]
BY_TEXT = "key asked wire back pi ch re du issfr txn evt req".split()


@pytest.fixture
async def full(engine: AsyncEngine, database: str) -> AsyncEngine:
    """The application's engine on a database in which many orders have everything."""
    account = await default_account(engine)
    own = {name: f"CAST(md5('{name}' || n) AS uuid)" for name in OWN}
    series = f"FROM generate_series(1, {ORDERS}) AS n"
    async with superuser(database, *UNGUARDED) as connection:
        for into, values in EVERYTHING.items():
            chosen = values.format_map(own)
            await connection.exec_driver_sql(f"INSERT INTO {into} SELECT CAST('{account}' AS uuid), {chosen} {series}")
        await connection.exec_driver_sql(f"{EVENTS} {series}")
        await connection.exec_driver_sql("ANALYZE")
    return engine


async def _own_id(engine: AsyncEngine, name: str, number: int = WANTED) -> UUID:
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT CAST(md5(:name) AS uuid)"), {"name": f"{name}{number}"})
        return UUID(str(found.scalar_one()))


async def test_an_order_is_found_by_every_name_it_has(full: AsyncEngine) -> None:
    order = await _own_id(full, "order")
    names = [str(await _own_id(full, name)) for name in BY_ID] + [f"{name}_{WANTED}" for name in BY_TEXT]
    found = {name: [one.id for one in (await find(full, name)).orders] for name in names}
    assert {name: ids for name, ids in found.items() if ids != [order]} == {}


async def test_what_is_looked_for_is_found_by_an_index(full: AsyncEngine) -> None:
    for name in (f"pi_{WANTED}", "pi_unknown"):
        values = {"references": [charge_reference(name), duplicate_reference(name)], "operations": list(OPERATIONS)}
        assert await rows_read(full, finding._BY_TEXT, text=name, limit=50, **values) <= HANDFUL, name
    assert await rows_read(full, finding._BY_ID, id=await _own_id(full, "change")) <= HANDFUL
    assert await rows_read(full, finding._OBJECT_OF, text=f"evt_{WANTED}") <= HANDFUL


async def test_a_request_id_is_looked_for_in_the_newest_histories_only(
    full: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "HISTORIES_MAX", 10)
    assert await rows_read(full, finding._BY_REQUEST, most=10, entry="[]") <= 3 * 10 + HANDFUL
    newest = await _newest_number(full)
    assert len((await find(full, f"req_{newest}")).orders) == 1
    oldest = await find(full, "req_unknown")
    assert (oldest.orders, oldest.histories) == ([], 30)
    assert oldest.back_to is not None


async def _newest_number(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT idempotency_key FROM charges ORDER BY id DESC LIMIT 1"))
        return str(found.scalar_one()).removeprefix("wire_")
