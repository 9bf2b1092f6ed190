"""What is known of the money right now: the newest proof, and the cheap sums since. Each query goes by an index.

Stripe is not asked here. What it said stands in the report of the newest reconciliation that reached the present.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.instants import first_id_of
from service.foundation.postgres.sql import Record, Statement, connect
from service.ledger import balances
from service.ledger.journal import CHARGE
from service.reconcile.head import Head
from service.reconcile.kept import newest_of_the_present

COUNTED_MAX = 1_000  # of what is open
NEWER_MAX = 2_000  # orders since the proof whose charge and entry are looked up
_WITHOUT_PROOF = timedelta(days=1)  # then orders of so long are looked at


class Open(Record):
    """What a person has to look at; each is counted up to COUNTED_MAX."""

    discrepancies: int
    acknowledged: int
    parked: int
    suspense: int
    notices: int


# An acknowledgement holds as long as the discrepancy is as it was then.
_OPEN = Statement("""
WITH d AS (
  SELECT EXISTS (
           SELECT FROM acknowledgements a WHERE a.fingerprint = d.fingerprint AND a.created_at >= d.opened_at
              AND (a.amount_minor, a.ours, a.stripe) IS NOT DISTINCT FROM (d.amount_minor, d.ours, d.stripe)) AS ack
    FROM discrepancies d WHERE d.resolved_at IS NULL LIMIT :most
)
SELECT (SELECT count(*) FROM d WHERE NOT ack) AS discrepancies, (SELECT count(*) FROM d WHERE ack) AS acknowledged,
       CAST(:parked AS bigint) AS parked,
       (SELECT count(*) FROM (SELECT FROM balance_transactions WHERE status = 'suspense' LIMIT :most) AS s) AS suspense,
       (SELECT count(*) FROM (SELECT FROM notices WHERE status = 'parked' LIMIT :most) AS n) AS notices
""").returning(Open)


class Newer(Record):
    """The newest orders since the proof, at most NEWER_MAX: how many are paid, have a charge, and one in the ledger."""

    placed: int
    paid: int
    charged: int
    booked: int


_NEWER = Statement(f"""
WITH o AS (SELECT id, account_id, status FROM orders WHERE id >= :since ORDER BY id DESC LIMIT :most)
SELECT count(*) AS placed, count(*) FILTER (WHERE status = 'paid') AS paid,
       count(*) FILTER (WHERE EXISTS (SELECT FROM charges c WHERE c.order_id = o.id AND c.account_id = o.account_id
                                         AND c.status = 'succeeded')) AS charged,
       count(*) FILTER (WHERE EXISTS (SELECT FROM journal_entries e WHERE e.order_id = o.id
                                         AND e.account_id = o.account_id AND e.kind = '{CHARGE}')) AS booked
  FROM o
""").returning(Newer)


@dataclass(frozen=True, slots=True)
class Money:
    """What is known. unbalanced: by currency, by how much the ledger's debits are more than its credits; not 0."""

    proof: Head | None
    open: Open
    newer: Newer
    unbalanced: Mapping[str, int]
    now: datetime


async def read(engine: AsyncEngine, parked: int) -> Money:
    """Read it. `parked` promises were counted before."""
    proof = await newest_of_the_present(engine)
    now = datetime.now(UTC)
    since = first_id_of(proof.window.now if proof else now - _WITHOUT_PROOF)
    async with connect(engine) as connection:
        found = await connection.one(_OPEN, {"parked": parked, "most": COUNTED_MAX + 1})
        newer = await connection.one(_NEWER, {"since": since, "most": NEWER_MAX})
    return Money(proof, found, newer, await _unbalanced(engine), now)


async def _unbalanced(engine: AsyncEngine) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in await balances(engine):
        sums[row["currency"]] = sums.get(row["currency"], 0) + row["debit"] - row["credit"]
    return {currency: difference for currency, difference in sums.items() if difference}
