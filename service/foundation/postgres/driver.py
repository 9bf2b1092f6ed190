"""Connections to PostgreSQL: made host by host, bounded, never repaired (R34).

A connection that missed a deadline, or whose statement was given up, is terminated. No cancel request is ever sent: it
would need another connection to a server that may be silent, and PostgreSQL acknowledges a COMMIT whose wait for a
synchronous standby was canceled. It says so by a warning, which counts as an error here.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from weakref import WeakSet

import asyncpg

from service.foundation.addresses.postgres import PostgresAddress, masked
from service.foundation.deadlines import CLOSE_S, CONNECT_S, LONG_STATEMENT_S, TRANSACTION_STATEMENTS, watch_peer
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.postgres.records import Record

NEXT_STEP = "`eo doctor` tells more."
_SYNC_REP = "syncrep.c"  # where PostgreSQL's warning comes from; its text is translated
_NEXT_HOST = ("08", "53", "57P")  # classes of refusals that another host may not share; libpq stops at a wrong password
_FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_TRANSACTION_TIMEOUT_SINCE = (17, 0)


class PostgresAway(Unavailable):
    """No connection could be had. `sqlstate` is PostgreSQL's own reason, where it gave one."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Unreplicated(Unavailable):
    """A COMMIT returned although the synchronous standby did not confirm it."""


class Row(Record):
    """A row whose columns are not declared."""

    def __getattr__(self, name: str) -> Any:
        """The column of that name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    if TYPE_CHECKING:

        def __getitem__(self, name: str | int) -> Any:
            """The driver's."""


class Driver(asyncpg.Connection):  # type: ignore[misc]
    """The driver's connection, which is thrown away where the driver would cancel."""

    __slots__ = ("_unreplicated", "connector", "made_at")

    def __init__(self, protocol: Any, transport: Any, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        self.connector: Connector | None = None
        self.made_at = time.monotonic()
        self._unreplicated = False
        watch_peer(transport.get_extra_info("socket"))
        self.add_log_listener(_hear)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  the driver's
        """As the driver does it. Every COMMIT comes this way."""
        status: str = await super().execute(query, *args, timeout=timeout)
        self.refuse_unreplicated()
        return status

    def refuse_unreplicated(self) -> None:
        """Raises Unreplicated where the last statement was committed without its synchronous standby."""
        if self._unreplicated:
            self._unreplicated = False
            raise Unreplicated("PostgreSQL gave up waiting for its synchronous standby.")

    @property
    def is_trusted(self) -> bool:
        """Whether it may be used again: open, and no other of its pool has missed a deadline since it was made."""
        return not self.is_closed() and (self.connector is None or self.made_at >= self.connector.trusted_since)

    def distrust(self) -> None:
        """End it, and let its whole pool be made anew: what befell one connection mostly befell all."""
        if self.connector is not None:
            self.connector.trusted_since = time.monotonic()
        self.terminate()

    async def _do_execute(
        self,
        query: str,
        executor: Any,
        timeout: float | None,  # noqa: ASYNC109  the driver's
        retry: bool = True,
        **how: Any,
    ) -> Any:
        """As the driver does it. Its own second try, after a column's type was changed, forgets the record class."""
        began = time.monotonic()
        try:
            return await super()._do_execute(query, executor, timeout, retry=False, **how)
        except asyncpg.InvalidCachedStatementError:
            if not retry or self.is_in_transaction():
                raise
            left = None if timeout is None else timeout - (time.monotonic() - began)
            return await super()._do_execute(query, executor, left, retry=False, **how)

    def _cancel_current_command(self, *_: Any) -> None:
        """The driver's hook for a missed deadline or a canceled task. Soon, as it has still to tell the task."""
        self._loop.call_soon(self.distrust)


def _hear(connection: Driver, message: Any) -> None:
    """A warning of the server; it is heard before the statement that it belongs to returns."""
    if getattr(message, "server_source_filename", None) == _SYNC_REP:
        connection._unreplicated = True  # noqa: SLF001  the driver calls functions, not methods


class Connector:
    """Makes the connections of one pool: the hosts in turn, each within its own bound, and their session settings.

    Settings are made by one statement instead of startup parameters, which poolers such as PgBouncer refuse.
    """

    def __init__(
        self, address: PostgresAddress, *, statement_s: float, session: Mapping[str, str], patience_s: float = 0.0
    ) -> None:
        self.trusted_since = 0.0
        self.patience_s = patience_s
        self._dsns = address.dsns
        self._connect_s = address.connect_timeout_s or CONNECT_S
        self._statement_s = statement_s
        self._session = dict(session)
        self._made: WeakSet[Driver] = WeakSet()

    async def __call__(self) -> Driver:
        """An open connection. Raises PostgresAway with the reason of each host."""
        reasons: list[str] = []
        state: str | None = None
        for dsn in self._in_turn():
            try:
                connection = await self._open(dsn)
            except asyncpg.exceptions.ClientConfigurationError as error:
                raise Misconfigured(f"DATABASE_URL cannot be used: {masked(in_words(error))}.") from error
            except _FAILURES as error:
                why = f"no answer within {self._connect_s:g} s" if isinstance(error, TimeoutError) else in_words(error)
                reasons.append(f"{host_of(dsn)}: {why}")
                state = getattr(error, "sqlstate", None)
                if state is None or state.startswith(_NEXT_HOST):
                    continue
                raise PostgresAway(f"PostgreSQL refused: {reasons[-1]}. {NEXT_STEP}", state) from error
            _answered[self._dsns] = dsn
            return connection
        raise PostgresAway(f"PostgreSQL cannot be reached: {'; '.join(reasons)}. {NEXT_STEP}", state)

    async def _open(self, dsn: str) -> Driver:
        async with asyncio.timeout(self._connect_s):
            connection: Driver = await asyncpg.connect(
                dsn, connection_class=Driver, record_class=Row, command_timeout=self._statement_s
            )
            try:
                await connection.execute(self._settings_for(connection))
            except BaseException:
                connection.terminate()
                raise
        connection.connector = self
        self._made.add(connection)
        return connection

    async def close(self) -> None:
        """Say goodbye on every connection that was made here and is still open, at once; end those that are silent."""
        still_open = [connection for connection in self._made if not connection.is_closed()]
        await asyncio.gather(*(c.close(timeout=CLOSE_S) for c in still_open), return_exceptions=True)
        for connection in still_open:
            connection.terminate()

    def _in_turn(self) -> Sequence[str]:
        """The host that answered last comes first: one that is gone costs its bound once, not at each connection."""
        last = _answered.get(self._dsns)
        return self._dsns if last is None else (last, *(dsn for dsn in self._dsns if dsn != last))

    def _settings_for(self, connection: Driver) -> str:
        session = self._session
        if connection.get_server_version() >= _TRANSACTION_TIMEOUT_SINCE:
            session = session | {"transaction_timeout": self._transaction_timeout()}
        if not session:
            return "SELECT"
        calls = (f"set_config({_quoted(name)}, {_quoted(value)}, false)" for name, value in session.items())
        return f"SELECT {', '.join(calls)}"

    def _transaction_timeout(self) -> str:
        """The only bound of the server's for a client that falls silent between preparing a statement and running it.

        Until then the session counts as active, and keeps the locks of what it has prepared.
        """
        if self._statement_s >= LONG_STATEMENT_S:
            return "0"
        return f"{TRANSACTION_STATEMENTS * self._statement_s * 1000:.0f}ms"


_answered: dict[tuple[str, ...], str] = {}  # the host of these that answered last, for all pools of this process


def host_of(dsn: str) -> str:
    """Host and port, or the socket's folder, as they may be shown."""
    parts = urlsplit(dsn)
    named = parse_qs(parts.query)
    host = (named.get("host") or [unquote(parts.netloc.rpartition("@")[2])])[0] or "the local socket"
    return host if host.startswith("/") or "port" not in named else f"{host}:{named['port'][0]}"


def in_words(error: BaseException) -> str:
    """Why something failed, in words that are never empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
