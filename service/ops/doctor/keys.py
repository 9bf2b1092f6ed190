"""API keys that end soon."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect
from service.ops.doctor.check import Check, judged

_SOON_DAYS = 14
_SHOWN = 5


class _Ending(Record):
    id: str
    account: str
    ends: str


# A key that was rolled ends on purpose: another one is in its place.
_ENDING = Statement(f"""
SELECT k.id, a.name AS account, to_char(k.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS ends
  FROM api_keys k JOIN accounts a ON a.id = k.account_id
 WHERE k.revoked_at IS NULL AND k.expires_at BETWEEN now() AND now() + interval '{_SOON_DAYS} days'
   AND NOT EXISTS (SELECT FROM api_keys n WHERE n.replaces = k.id AND n.revoked_at IS NULL)
 ORDER BY k.expires_at LIMIT {_SHOWN}
""").returning(_Ending)


async def check(engine: AsyncEngine) -> Check:
    """Whether a key ends soon and none is in its place."""
    async with connect(engine) as connection:
        ending = await connection.rows(_ENDING)
    wrong = ", ".join(f"{key.id} of {key.account} ends on {key.ends}" for key in ending)
    return judged("api keys", f"none ends within {_SOON_DAYS} days", wrong, _ROLL)


_ROLL = "`eo keys roll` makes one in its place, and both open for a while."
