"""Watches until SIGTERM, and then says how often it saw something: one line of JSON."""

import asyncio
import signal
import sys
from collections.abc import Sequence

import aiohttp
import msgspec

_EVERY_S = 1.0


class Watch(msgspec.Struct):
    """What is watched: the console's live feed with a session's cookie, and addresses that Prometheus would scrape."""

    feed: str
    cookie: str
    metrics: Sequence[str]
    api_key: str


class Seen(msgspec.Struct):
    """How many answers and events came."""

    scrapes: int = 0
    events: int = 0


async def _follow(session: aiohttp.ClientSession, watch: Watch, seen: Seen) -> None:
    headers = {"Cookie": f"eo_console={watch.cookie}"}
    async with session.get(watch.feed, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as answer:
        answer.raise_for_status()
        while line := await answer.content.readuntil(b"\n"):
            seen.events += line.startswith(b"data:")


async def _scrape(session: aiohttp.ClientSession, watch: Watch, seen: Seen) -> None:
    headers = {"Authorization": f"Bearer {watch.api_key}"}
    while True:
        for address in watch.metrics:
            async with session.get(address, headers=headers) as answer:
                answer.raise_for_status()
                seen.scrapes += b"eo_" in await answer.read()
        await asyncio.sleep(_EVERY_S)


async def _main(watch: Watch) -> Seen:
    seen, stop = Seen(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with aiohttp.ClientSession(read_bufsize=2**22) as session:
        tasks = [asyncio.create_task(work(session, watch, seen)) for work in (_follow, _scrape)]
        await asyncio.wait([*tasks, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # what broke it is told
            task.cancel()
    return seen


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=Watch)))).decode())
