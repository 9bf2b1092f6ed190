"""Behind PgBouncer: session mode works as if it were not there, and the other modes are refused by name."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.foundation.errors import Misconfigured
from service.foundation.postgres.db import BY_KEY, close, create_engine
from service.foundation.postgres.sql import Statement, connect
from service.foundation.postgres.starting import check_start
from service.foundation.settings import Settings
from service.ops.child import Child
from service.ops.embedded import Postgres, free_port
from tests.web.conftest import serve

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="pgbouncer is not installed (apt install pgbouncer)")


class PgBouncer(Child):
    """One in front of `postgres`, as its package comes: it knows few startup parameters, and no others."""

    def __init__(self, folder: Path, postgres: Postgres, mode: str) -> None:
        self.port = free_port()
        folder.mkdir(mode=0o755)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={postgres.sockets} port=5432 user=postgres password={postgres.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\n"
            f"unix_socket_dir =\npool_mode = {mode}\ndefault_pool_size = 60\n"
        )
        super().__init__("pgbouncer", [PROGRAM, str(config)], log=folder.parent / f"{folder.name}.log")
        self.user = postgres.user  # who may enter the folder of its socket

    def is_ready(self) -> bool:
        return "process up" in self.log.read_text()


@contextmanager
def pgbouncer(folder: Path, postgres: Postgres, mode: str) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(folder / mode, postgres, mode)
    bouncer.start()
    try:
        yield bouncer
    finally:
        bouncer.stop()


@pytest.fixture
def folder(servers_folder: Path) -> Iterator[Path]:
    """Where a user that is not root can read."""
    folder = servers_folder / f"pgbouncer-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


def through(bouncer: PgBouncer, settings: Settings) -> Settings:
    name = urlsplit(settings.database_url).path[1:]
    return replace(settings, database_url=f"postgresql://postgres:@127.0.0.1:{bouncer.port}/{name}?sslmode=disable")


async def test_session_mode_serves_with_the_settings_of_the_session(
    settings: Settings, postgres: Postgres, folder: Path
) -> None:
    with pgbouncer(folder, postgres, "session") as bouncer:
        behind = through(bouncer, settings)
        async with asyncio.timeout(20), serve(behind) as api:
            answers = await asyncio.gather(*(api.order(f"k{i}") for i in range(40)))
            assert {answer.status_code for answer in answers} == {201}
        engine = create_engine(behind, name="session", session=BY_KEY)
        wanted = {"statement_timeout": "9s", "enable_seqscan": "off", "application_name": "eo session"}
        read = Statement("SELECT current_setting(:name) AS value")
        async with connect(engine) as connection:
            assert {n: (await connection.column(read, {"name": n}))[0] for n in wanted} == wanted
        await close(engine)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_other_modes_are_refused_by_name_at_start(
    settings: Settings, postgres: Postgres, folder: Path, mode: str
) -> None:
    with pgbouncer(folder, postgres, mode) as bouncer, pytest.raises(Misconfigured, match="pool_mode = session"):
        await check_start(through(bouncer, settings))
