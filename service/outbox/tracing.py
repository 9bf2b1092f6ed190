"""The trace of a row: which span promised it. Kept in the row only where traces are on."""

from uuid import UUID

from service.foundation import tracing
from service.foundation.broker_keys import CHARGE_QUEUE
from service.foundation.postgres.sql import Connection, Statement

_CARRY = Statement("""
UPDATE outbox SET headers = jsonb_build_object('traceparent', CAST(:traceparent AS text)) WHERE id = :id
""")


async def carry_trace(tx: Connection, row_id: UUID, traceparent: str | None = None) -> None:
    """The row was promised in this trace, unsaid: in the current one. Nothing where traces are off."""
    if tracing.spans is not None:
        traceparent = tracing.spans.created(CHARGE_QUEUE) if traceparent is None else traceparent
        await tx.run(_CARRY, {"id": row_id, "traceparent": traceparent})
