"""What a decision books: no movement of Stripe's says that money is lost for good, only the dispute's state does."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from service import ledger
from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import Decided
from service.states import DISPUTE_DECIDED, in_sql


class _Decided(Record):
    """A dispute that is decided, and since when that is known."""

    id: str
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    status: str
    since: datetime


_DECIDED = Statement(f"""
SELECT d.id, d.account_id, d.order_id, c.payment_intent_id, d.status,
       CAST(d.history -> -1 ->> 'at' AS timestamptz) AS since
  FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE d.id = ANY(CAST(:ids AS text[])) AND d.status IN {in_sql(DISPUTE_DECIDED)}
 ORDER BY d.id
""").returning(_Decided)


async def close(tx: Connection, dispute_ids: Sequence[str]) -> None:
    """Book what is lost of those that are decided; their orders are locked by `tx`.

    Asked for when a dispute was settled, and when a movement of it was booked, whichever comes first: it follows from
    the state and the books, so twice changes nothing.
    """
    rows = await tx.rows(_DECIDED, {"ids": list(dispute_ids)})
    decided = [
        Decided(
            account_id=row.account_id,
            order_id=row.order_id,
            payment_intent_id=row.payment_intent_id,
            dispute_id=row.id,
            status=row.status,
            occurred_at=row.since,
        )
        for row in rows
    ]
    result = await ledger.close_disputes(tx, decided)
    if result.conflicting:
        raise RuntimeError(f"already booked with other content: {[entry.reference for entry in result.conflicting]}")
