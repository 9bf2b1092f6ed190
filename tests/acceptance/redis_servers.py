"""Redis with Sentinel, and as a Cluster: Debian's where it is installed, else the Valkey of the wheel."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis

from service.ops.child import wait_until
from service.ops.embedded import free_port, valkey_program

PASSWORD = "p@ss:w/rd?#%&+"
SERVICE = "orders"
_READY_S = 30.0


class Server:
    """One process of redis-server in a folder of its own."""

    def __init__(self, folder: Path, *lines: str, port: int = 0, sentinel: bool = False) -> None:
        self.port = port or free_port()
        folder.mkdir(parents=True)
        own = [] if sentinel else [f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"', 'save ""', "appendonly no"]
        config = folder / "redis.conf"
        config.write_text("\n".join([f"port {self.port}", "bind 127.0.0.1", f'dir "{folder}"', *own, *lines]) + "\n")
        program = shutil.which("redis-server") or str(valkey_program())
        command = [program, str(config), *(["--sentinel"] if sentinel else [])]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, password=None if sentinel else PASSWORD, socket_timeout=2)

    def command(self, *words: object) -> object:
        """Any command."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def until(self, section: str, name: str, value: object) -> None:
        """Wait until INFO says so."""
        assert wait_until(lambda: self._info(section).get(name) == value, within_s=_READY_S, pause=_pause), name

    def kill(self) -> None:
        """`kill -9`, or nothing where it has ended."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self.client.close()

    def _info(self, section: str) -> dict[str, object]:
        try:
            return dict(self.client.info(section))
        except redis.RedisError:
            return {}


def _pause(_: float) -> None:
    time.sleep(0.05)


@contextmanager
def sentinel(folder: Path) -> Iterator[tuple[str, Server, Server]]:
    """URL, primary and replica. The Sentinel fails over half a second after the primary has gone."""
    primary = Server(folder / "primary")
    replica = Server(folder / "replica", f"replicaof 127.0.0.1 {primary.port}")
    primary.until("replication", "connected_slaves", 1)
    replica.until("replication", "master_link_status", "up")
    watch = Server(
        folder / "sentinel",
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1",
        f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
        f"sentinel down-after-milliseconds {SERVICE} 500",
        f"sentinel failover-timeout {SERVICE} 3000",
        sentinel=True,
    )
    try:
        known = wait_until(lambda: _replicas_known(watch) == 1, within_s=_READY_S, pause=_pause)
        assert known, "the Sentinel has found the replica"
        # The first of the Sentinels is not there: one that is away must not matter.
        hosts = f"127.0.0.1:9,127.0.0.1:{watch.port}"
        yield f"redis+sentinel://:{quote(PASSWORD, safe='')}@{hosts}/{SERVICE}/0", primary, replica
    finally:
        for server in (watch, replica, primary):
            server.kill()


def _replicas_known(watch: Server) -> int:
    try:
        return len(watch.client.sentinel_slaves(SERVICE))
    except redis.RedisError:
        return 0


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """URL of a Cluster of two nodes, each with half of the slots."""
    lines = ("cluster-enabled yes", "cluster-node-timeout 2000")
    nodes = [Server(folder / str(n), *lines, port=_cluster_port()) for n in range(2)]
    try:
        for n, node in enumerate(nodes):
            node.until("cluster", "cluster_enabled", 1)
            node.command("CLUSTER", "ADDSLOTSRANGE", n * 8_192, n * 8_192 + 8_191)
        nodes[0].command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
        for node in nodes:
            assert wait_until(lambda n=node: _is_whole(n), within_s=_READY_S, pause=_pause)  # type: ignore[misc]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield f"redis+cluster://:{quote(PASSWORD, safe='')}@{hosts}"
    finally:
        for node in nodes:
            node.kill()


def _is_whole(node: Server) -> bool:
    said = node.command("CLUSTER", "INFO")
    text = said.decode() if isinstance(said, bytes) else str(said)
    return "cluster_state:ok" in text or "'cluster_state': 'ok'" in text


def _cluster_port() -> int:
    """A free port whose neighbour 10,000 above, where the nodes talk, exists and is free as well."""
    while True:
        port = free_port()
        if port < 55_000:
            return port
