"""A list of refunds reads what it shows, as a list of orders does: of all, of one order, of a rare state."""

from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Statement, connect
from service.refunds import reading
from service.states import REFUND_STATUSES
from tests.orders.test_listing_plans import LIMIT, analyze, rows_read

MANY = 8_000
_ORDERS = Statement("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, status)
SELECT gen_random_uuid(), account, 'k' || n, '\\x01', 1999, 'usd', 'paid'
  FROM unnest(CAST(:accounts AS uuid[])) AS a(account), generate_series(1, 2) AS n
""")
_CHARGES = Statement("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, life)
SELECT gen_random_uuid(), account_id, id, 1, id::text, amount_minor, currency, 'succeeded', '{}', 'v', true, 1
  FROM orders
""")
# Nearly all have succeeded, and nearly all of an account are of its first order.
_FILL = Statement("""
INSERT INTO refunds (id, account_id, order_id, charge_id, amount_minor, currency, status, request, stripe_version)
SELECT CAST(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid), c.account_id, c.order_id, c.id, 1,
       'usd', CASE WHEN n <= 60 THEN (CAST(:statuses AS text[]))[1 + n % 5] ELSE 'succeeded' END, '{}', ''
  FROM generate_series(1, CAST(:many AS int)) AS n
  JOIN (SELECT *, row_number() OVER (ORDER BY account_id, order_id) AS nth FROM charges) AS c
    ON c.nth = CASE WHEN n % 100 = 0 THEN 2 ELSE 1 END + 2 * (n % 2)
""")


async def test_a_list_of_refunds_reads_no_more_than_it_shows(engine: AsyncEngine, database: str) -> None:
    accounts = [uuid4(), uuid4()]
    async with connect(engine) as connection:
        await connection.run(_ORDERS, {"accounts": accounts})
        await connection.run(_CHARGES)
        await connection.run(_FILL, {"many": MANY, "statuses": list(REFUND_STATUSES)})
        orders = await connection.rows(Statement("SELECT id, account_id FROM orders"))
    await analyze(database, "refunds")
    read: dict[object, int] = {}
    for account in accounts:
        read |= {s: await rows_read(engine, reading._PAGE_OF_STATUS, account, status=s) for s in REFUND_STATUSES}
        read[account] = await rows_read(engine, reading._PAGE, account)
    for order in orders:
        read[order["id"]] = await rows_read(engine, reading._PAGE_OF_ORDER, order["account_id"], order=order["id"])
    # The index passes the page on to the limit: each row counts twice.
    assert max(read.values()) <= 2 * (LIMIT + 1), read
    assert min(read[account] for account in accounts) >= LIMIT
    assert await rows_read(engine, reading._PAGE, UUID(int=1)) == 0, "an account without refunds"
