"""Reading the audit, newest first."""

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
    reason: str | None
    before: str | None
    after: str | None


_NOTED = Statement("""
SELECT id, at, actor, via, action, subject, reason, before::text AS before, after::text AS after FROM audit
 WHERE CAST(:subject AS text) IS NULL OR subject = :subject ORDER BY id DESC LIMIT :limit
""").returning(Noted)


async def noted(engine: AsyncEngine, *, subject: str | None = None, limit: int = 100) -> list[Noted]:
    """The newest actions, of one subject or of all."""
    async with connect(engine) as connection:
        return await connection.rows(_NOTED, {"subject": subject, "limit": limit})
