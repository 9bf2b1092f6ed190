"""The part of an order's timeline that tells what its producer was told: notices that were sent, or given up."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from service.foundation.postgres.sql import Connection, Record, Statement


class _Notice(Record):
    id: UUID
    endpoint_id: UUID
    webhook_id: str
    type: str
    status: str
    tries: int
    answer: str | None
    ended_at: datetime


# The index is by the order alone: an id belongs to one account.
_NOTICES = Statement("""
SELECT id, endpoint_id, webhook_id, type, status, tries, answer, ended_at FROM notices
 WHERE order_id = :order AND account_id = :account AND status IN ('delivered', 'parked') AND ended_at IS NOT NULL
 ORDER BY ended_at, id
""").returning(_Notice)
_EVENTS = {"delivered": "notice.sent", "parked": "notice.parked"}


async def told_to_producers(connection: Connection, who: Mapping[str, object]) -> list[dict[str, Any]]:
    """The events of its notices, by one statement; `who` names the account and the order."""
    return [_of_notice(notice) for notice in await connection.rows(_NOTICES, who)]


def _of_notice(notice: _Notice) -> dict[str, Any]:
    """To which endpoint, under which id. `answer`: what came back last."""
    return {
        "at": notice.ended_at,
        "event": _EVENTS[notice.status],
        "notice": str(notice.id),
        "type": notice.type,
        "endpoint": str(notice.endpoint_id),
        "webhook_id": notice.webhook_id,
        "tries": notice.tries,
        **({"answer": notice.answer} if notice.answer else {}),
    }
