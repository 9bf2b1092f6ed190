"""API keys as an operator sees them: without their secrets, with their last use and their end."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Integer, Record, Statement, connect

SOON = timedelta(days=14)  # before its end an operator is warned of a key


class KeyRow(Record):
    """A key without its secret. status: active, ends soon, ended, revoked. replaced_by: the key it was rolled to."""

    id: str
    account: str
    status: str
    scopes: list[str]
    rps: Integer | None
    last4: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None


_KEYS = """
SELECT k.id, a.name AS account,
       CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'ended'
            WHEN k.expires_at <= now() + CAST(:soon AS interval) THEN 'ends soon' ELSE 'active' END AS status,
       k.scopes, k.rps, k.last4, k.created_at, k.last_used_at, k.expires_at, k.revoked_at,
       (SELECT n.id FROM api_keys n WHERE n.replaces = k.id ORDER BY n.created_at DESC LIMIT 1) AS replaced_by
  FROM api_keys k JOIN accounts a ON a.id = k.account_id
"""
_LIST = Statement(f"{_KEYS} ORDER BY k.created_at DESC").returning(KeyRow)
_ENDING = Statement(f"""
{_KEYS} WHERE k.revoked_at IS NULL AND k.expires_at > now() AND k.expires_at <= now() + CAST(:soon AS interval)
 AND NOT EXISTS (SELECT FROM api_keys n WHERE n.replaces = k.id AND n.revoked_at IS NULL)
 ORDER BY k.expires_at
""").returning(KeyRow)


async def list_keys(engine: AsyncEngine) -> list[KeyRow]:
    """All keys, newest first."""
    async with connect(engine) as connection:
        return await connection.rows(_LIST, {"soon": SOON})


async def ending_keys(engine: AsyncEngine) -> list[KeyRow]:
    """The keys that end within two weeks and that no other key replaces, the next one first."""
    async with connect(engine) as connection:
        return await connection.rows(_ENDING, {"soon": SOON})
