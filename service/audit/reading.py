"""Reading the audit, newest first."""

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect


class Noted(Record):
    """One action of an operator. `before` and `after` are JSON texts."""

    id: UUID
    at: datetime
    actor: str
    via: str
    action: str
    subject: str
    order_id: UUID | None
    reason: str | None
    before: str | None
    after: str | None


def changed(one: Noted) -> str:
    """What the action changed, in words: `status processing → failed`. What is only known of before comes last."""
    before, after = json.loads(one.before or "{}"), json.loads(one.after or "{}")
    new = {name: value for name, value in after.items() if name not in before or before[name] != value}
    words = [f"{name} {before[name]} → {value}" if name in before else f"{name} {value}" for name, value in new.items()]
    gone = {name: value for name, value in before.items() if name not in after and value is not None}
    return ", ".join(words + [f"{name} was {value}" for name, value in gone.items()])


# An order's id finds what was done to the order, and to its rows, refunds and payments.
_NOTED = Statement("""
SELECT id, at, actor, via, action, subject, order_id, reason, before::text AS before, after::text AS after FROM audit
 WHERE CAST(:subject AS text) IS NULL OR subject = :subject OR order_id = CAST(:order AS uuid)
 ORDER BY id DESC LIMIT :limit
""").returning(Noted)


async def noted(engine: AsyncEngine, *, subject: str | None = None, limit: int = 100) -> list[Noted]:
    """The newest actions: all, or those of one subject; of an order also those of what belongs to it."""
    async with connect(engine) as connection:
        return await connection.rows(_NOTED, {"subject": subject, "order": _uuid(subject), "limit": limit})


def _uuid(subject: str | None) -> UUID | None:
    try:
        return UUID(subject)
    except (TypeError, ValueError):
        return None
