"""Stores a backlog of any size by one statement, within seconds."""

from benchmarks.load import BODY
from benchmarks.stack import Stack
from service.orders import OrderRequest
from service.orders.identity import fingerprint
from service.web.body import decode

_FILL = """
WITH made AS (
  INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, metadata)
  SELECT uuidv7(), (SELECT id FROM accounts WHERE is_default), md5(n::text) || '-' || $2::text, $3, 1999, 'usd',
         'pm_card_visa', '{"cart": "17"}'
    FROM generate_series(1, $1::int) AS n
  RETURNING id, account_id
)
INSERT INTO outbox (id, account_id, order_id, kind, payload)
SELECT uuidv7(), account_id, id, 'charge', '{"attempt": 1}' FROM made
RETURNING id
"""


def backlog(stack: Stack, database: str, orders: int, prefix: str) -> list[str]:
    """Store accepted orders and their promises; returns the ids of the promises."""
    print_ = fingerprint(decode(BODY.encode(), OrderRequest))
    return [str(row["id"]) for row in stack.rows(database, _FILL, orders, prefix, print_)]
