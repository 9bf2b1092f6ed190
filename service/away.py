"""PostgreSQL away: told apart from a refusal, and noticed without a failed request where possible."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from service.db import is_unreachable
from service.errors import Unavailable


def is_away(error: BaseException) -> bool:
    """Whether this failed because PostgreSQL, or a free connection to it, could not be had: HTTP 503, try again."""
    return isinstance(error, (PoolTimeout, Unavailable)) or is_unreachable(error)


def notice_closed_connections(engine: AsyncEngine) -> None:
    """Replace pooled connections that a restarted PostgreSQL closed before a statement fails on them.

    The driver knows that its socket was closed, so this asks nobody; what is cut silently still fails once.
    """

    def refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    event.listen(engine.sync_engine, "checkout", refuse_closed)
