"""What a dispute says against a refund: while nobody has decided, the bank may give the same money back."""

from uuid import UUID

from service.foundation.postgres.sql import Connection, Record, Statement
from service.states import DISPUTE_OPEN, in_sql


class OpenDispute(Record):
    """A dispute that is not decided, under Stripe's id."""

    id: str
    status: str


# The dispute of an order's second success holds nothing of the first.
_OPEN = Statement(f"""
SELECT d.id, d.status FROM disputes d JOIN charges c ON c.id = d.charge_id AND c.status <> 'duplicate'
 WHERE d.order_id = :order AND d.status IN {in_sql(DISPUTE_OPEN)} ORDER BY d.stripe_created, d.id LIMIT 1
""").returning(OpenDispute)


async def open_dispute(tx: Connection, order_id: UUID) -> OpenDispute | None:
    """A dispute of this order that is open, an inquiry aside. The order is locked by `tx`."""
    return await tx.row(_OPEN, {"order": order_id})
