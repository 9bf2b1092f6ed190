"""Packets vanish between two hosts: no reset, no answer. The kernel ends such a connection because we told it to.

Needs root and network namespaces; skipped, with the reason, where the machine gives neither.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.foundation import deadlines
from service.foundation.postgres.db import close, create_engine, is_unreachable
from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings
from service.ops.child import Child
from service.ops.embedded import PG_PORT, Postgres

HERE, THERE, PORT = "198.51.100.1", "198.51.100.2", 5432  # TEST-NET-2: nobody's
pytestmark = pytest.mark.slow

PID = Statement("SELECT pg_backend_pid() AS pid")
# A forwarder inside the namespace: it has an address of its own there, and the socket is the same file.
FORWARD = """
import asyncio, sys
async def carry(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
async def serve(reader, writer):
    there, back = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)
async def main():
    server = await asyncio.start_server(serve, sys.argv[2], int(sys.argv[3]))
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Host:
    """Another host, as far as the network tells."""

    name: str

    def cut(self) -> None:
        """From now on whatever is sent there vanishes."""
        _ip("-n", self.name, "link", "set", "eo1", "down")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode != 0:
        pytest.skip(f"this machine gives no network namespace: ip {' '.join(words)}: {done.stderr.strip()}")


class Forwarder(Child):
    def is_ready(self) -> bool:
        return self.log.read_text().startswith("ready")


@pytest.fixture
def host(postgres: Postgres, servers_folder: Path) -> Iterator[Host]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = f"eo-test-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", "eo0", "type", "veth", "peer", "name", "eo1", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", "eo0")
        _ip("link", "set", "eo0", "up")
        _ip("-n", name, "addr", "add", f"{THERE}/30", "dev", "eo1")
        _ip("-n", name, "link", "set", "eo1", "up")
        socket = str(postgres.sockets / f".s.PGSQL.{PG_PORT}")
        inside = ["ip", "netns", "exec", name, sys.executable, "-c", FORWARD, socket, THERE, str(PORT)]
        forwarder = Forwarder("forwarder", inside, log=servers_folder / "forwarder.log")
        forwarder.start()
        yield Host(name)
        forwarder.kill()
    finally:
        subprocess.run(["ip", "link", "del", "eo0"], capture_output=True, check=False)  # noqa: S607
        _ip("netns", "del", name)


async def test_a_peer_whose_packets_vanish_is_noticed_by_the_kernel(
    settings: Settings, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement's own bound is far away here: only what was set on the socket can end it."""
    monkeypatch.setattr(deadlines, "TCP_USER_TIMEOUT_MS", 1_000)
    there = urlsplit(settings.database_url)
    url = f"postgresql://{there.netloc}{THERE}:{PORT}{there.path}?sslmode=disable"
    engine = create_engine(replace(settings, database_url=url), name="dropped", pool=1, statement_s=300)
    async with connect(engine) as connection:
        await connection.column(PID, {})
    host.cut()
    with pytest.raises(Exception, match=r"timed out|lost|closed|reset") as lost:
        async with asyncio.timeout(60), connect(engine) as connection:
            await connection.column(PID, {})
    assert not isinstance(lost.value, TimeoutError) or "timed out" in str(lost.value)
    assert is_unreachable(lost.value)
    await close(engine)
