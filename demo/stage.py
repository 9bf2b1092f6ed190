"""PostgreSQL and Valkey for the demonstration, in a temporary folder that is removed at its end."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import asyncpg

from service.foundation.postgres.migrate import upgrade
from service.ops.installation import Installation

_SQL_S = 20.0


class Stage(Installation):
    """A context manager. All its processes end with this process, however that ends."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="eo-demo-")), {})
        self._runner = asyncio.Runner()
        self._connections: dict[str, Any] = {}
        self.postgres = self.embed_postgres(shared_buffers="64MB", max_wal_size="512MB")
        self.redis = self.embed_redis()

    def __enter__(self) -> Self:
        try:
            self.bring_up(*self.parts)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.terminate()
        self._runner.close()
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, name: str, *, with_schema: bool) -> str:
        """The URL of a new database, empty or with the service's schema."""
        self.rows(self.postgres.url, f"CREATE DATABASE {name}")
        url = self.postgres.database_url(name)
        if with_schema:
            upgrade(url)
        return url

    def rows(self, url: str, statement: str, *values: object) -> list[Any]:
        """Rows of one statement, as the superuser, on a connection that is kept: connecting would count as CPU."""
        return self._runner.run(self._rows(url, statement, values))

    async def _rows(self, url: str, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return await self._fetch(url, statement, values)
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
            self._connections.pop(url, None)  # PostgreSQL was killed meanwhile
            return await self._fetch(url, statement, values)

    async def _fetch(self, url: str, statement: str, values: tuple[object, ...]) -> list[Any]:
        if url not in self._connections:
            self._connections[url] = await asyncpg.connect(url, timeout=_SQL_S)
        return list(await self._connections[url].fetch(statement, *values, timeout=_SQL_S))
