"""Bad wires: a proxy between every two processes, which delays, cuts, falls silent, and loses replies.

One event loop in a thread of its own carries them all. Each connection draws its troubles by the seed; what is struck
depends on what is sent when, so a seed repeats the weather, not every drop. Addresses are (host, port) or the path of a
Unix socket, because that is how PostgreSQL is reached here.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from service.ops.embedded import PG_PORT
from tests.acceptance.fleet import Fleet

T = TypeVar("T")
Address = tuple[str, int] | Path

CHUNK = 1 << 16
DELAY_MAX_S = 0.3
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances per chunk of bytes. reply_lost: the request arrives and is carried out, its answer is not delivered.

    half_open: from then on neither side hears anything of the other, not even that it has gone. It never heals.
    """

    delay: float = 0.0
    cut: float = 0.0
    reply_lost: float = 0.0
    half_open: float = 0.0

    def draw(self, chance: random.Random) -> str:
        """What happens to the next chunk; empty for nothing."""
        roll = chance.random()
        for name in ("cut", "reply_lost", "half_open", "delay"):
            roll -= getattr(self, name)
            if roll < 0:
                return name
        return ""


CALM = Weather()


class Wires:
    """All proxies. `weather` may be changed at any time, for all wires or for one."""

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.weather = CALM
        self.of: dict[str, Weather] = {}  # instead of `weather`, by the wire's name
        self._seed = seed
        self._open: dict[str, set[asyncio.Event]] = {}  # per wire: what makes one of its connections silent
        self._carrying: set[asyncio.Task[Any] | None] = set()
        self._numbers: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add_tcp(self, name: str, target: int | Path) -> int:
        """A wire called `name` to a port or a socket of this machine; returns the port to connect to instead."""
        return self._do(self._listen_tcp(name, target if isinstance(target, Path) else ("127.0.0.1", target)))

    def add_unix(self, name: str, target: Path, listen: Path) -> None:
        """The same between two Unix sockets."""
        self._do(self._listen_unix(name, target, listen))

    def over(self, name: str, url: str) -> str:
        """The same URL over a wire called `name`."""
        port = urlsplit(url).port
        assert port is not None
        return url.replace(f":{port}", f":{self.add_tcp(name, port)}")

    def around(self, fleet: Fleet, name: str) -> dict[str, str]:
        """What a part of the fleet is told, so that all it needs lies behind wires: NAME>postgres, >redis, >stripe."""
        folder = fleet.folder / f"wire-{name}"
        folder.mkdir(mode=0o700)
        there = fleet.postgres.sockets / f".s.PGSQL.{PG_PORT}"
        self.add_unix(f"{name}>postgres", there, folder / there.name)
        return {
            "DATABASE_URL": fleet.postgres.owner_url.replace(quote(str(there.parent)), quote(str(folder))),
            "REDIS_URL": self.over(f"{name}>redis", fleet.redis.url),
            "STRIPE_API_BASE": self.over(f"{name}>stripe", fleet.stripe),
        }

    def calm(self) -> None:
        """From now on every wire only carries."""
        self.weather = CALM
        self.of = {}

    def silence(self, name: str) -> None:
        """What is connected over this wire now goes half-open, for good; only what connects from now on works."""
        self._do(self._silence(name))

    def end(self) -> None:
        """Close everything."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _listen_unix(self, name: str, target: Path, listen: Path) -> None:
        server = await asyncio.start_unix_server(lambda r, w: self._carry(name, target, r, w), listen)
        self._servers.append(server)

    async def _listen_tcp(self, name: str, target: Address) -> int:
        server = await asyncio.start_server(lambda r, w: self._carry(name, target, r, w), "127.0.0.1", 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # until the transports have closed

    async def _silence(self, name: str) -> None:
        for silent in self._open.get(name, ()):
            silent.set()
            self.counts[f"half_open {name}"] += 1

    async def _carry(
        self, name: str, target: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._numbers[name] += 1
        chance = random.Random(f"{self._seed}:{name}:{self._numbers[name]}")
        silent = asyncio.Event()
        self._open.setdefault(name, set()).add(silent)
        carrying = asyncio.current_task()
        self._carrying.add(carrying)  # nobody else holds a task that waits for ever
        back: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.CancelledError):
            there, back = await _connect(target)
            ways = [
                asyncio.create_task(_never_ending(self._pump(name, chance, silent, reader, back), silent)),
                asyncio.create_task(
                    _never_ending(self._pump(name, chance, silent, there, writer, is_reply=True), silent)
                ),
            ]
            # Whichever side goes, goes for both: a killed client's requests are not carried on.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        self._open[name].discard(silent)
        self._carrying.discard(carrying)
        for end in (back, writer):
            if end is not None:
                end.transport.abort()

    async def _pump(
        self,
        name: str,
        chance: random.Random,
        silent: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_reply: bool = False,
    ) -> None:
        while (data := await reader.read(CHUNK)) and not silent.is_set():
            fate = self.of.get(name, self.weather).draw(chance)
            if fate == "reply_lost" and not is_reply:
                fate = ""
            if fate:
                self.counts[f"{fate} {name}"] += 1
            if fate == "delay":
                await asyncio.sleep(chance.uniform(0, DELAY_MAX_S))
            elif fate == "half_open":
                silent.set()
                return
            elif fate == "cut" and chance.random() < 0.5:
                writer.write(data[: len(data) // 2])  # in the middle of what is said
                return
            elif fate:
                return
            writer.write(data)
            await writer.drain()


async def _never_ending(way: Coroutine[Any, Any, None], silent: asyncio.Event) -> None:
    """One way of a connection; where it falls silent nothing of its end is passed on either."""
    try:
        await way
    except OSError:
        if not silent.is_set():
            raise
    if silent.is_set():
        await asyncio.Event().wait()


async def _connect(target: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(*target)


def total(counts: Mapping[str, int], kind: str) -> int:
    """How many of a kind, over all wires."""
    return sum(n for name, n in counts.items() if name.startswith(kind))
