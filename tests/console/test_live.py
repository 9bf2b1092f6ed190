"""Pages that renew themselves: one reader however many watch, nothing while nobody does, and no stream outlives us."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.audit import Who
from service.console import Access, live
from service.console.live import Feed, News, Parts
from service.foundation.settings import Settings
from tests.web.conftest import Api, serve


class Source:
    """What a feed reads: a number that a test sets, and how often it was read."""

    def __init__(self) -> None:
        self.number = 0
        self.reads = 0
        self.fails = False

    async def read(self) -> Parts:
        """Read it."""
        self.reads += 1
        if self.fails:
            raise RuntimeError("away")
        return {"number": str(self.number), "same": "x"}


async def news(watch: AsyncGenerator[News | None]) -> News:
    """The next of it."""
    while True:
        found = await anext(watch)
        if found is not None:
            return found


async def test_one_reading_serves_all_who_watch() -> None:
    source = Source()
    feed = Feed(source.read, 0.01)
    async with aclosing(feed.watch()) as one, aclosing(feed.watch()) as other:
        assert (await news(one)).id == (await news(other)).id
        assert feed.watchers == 2
        before = source.reads
        both = await asyncio.gather(news(one), news(other))
        assert both[0].id == both[1].id
        assert source.reads - before <= 2


async def test_nothing_is_read_when_nobody_watches_any_more() -> None:
    source = Source()
    feed = Feed(source.read, 0.01)
    async with aclosing(feed.watch()) as watch:
        await news(watch)
    assert feed._task is not None
    await feed._task  # it ends by itself
    assert feed.watchers == 0
    before = source.reads
    async with aclosing(feed.watch()) as watch:  # and begins again with the next one
        await news(watch)
        await news(watch)
    assert source.reads > before


async def test_only_what_has_changed_is_told_and_whoever_comes_back_goes_on_where_they_were() -> None:
    source = Source()
    feed = Feed(source.read, 0.01)
    async with aclosing(feed.watch()) as watch:
        first = await news(watch)
        assert first.parts == {"number": "0", "same": "x"}
        assert (await news(watch)).parts == {}
        source.number = 7
        while not (found := await news(watch)).parts:
            pass
        assert found.parts == {"number": "7"}
        assert feed._newest is not None
        seen = feed._id(feed._newest)
    async with aclosing(feed.watch(seen)) as watch:
        assert (await news(watch)).parts == {}
    async with aclosing(feed.watch("00000000-1")) as watch:  # of the process before this one
        assert (await news(watch)).parts == {"number": "7", "same": "x"}


async def test_a_reading_that_fails_is_told_and_the_next_one_may_succeed() -> None:
    source = Source()
    feed = Feed(source.read, 0.01)
    async with aclosing(feed.watch()) as watch:
        await news(watch)
        source.fails = True
        while not (found := await news(watch)).failed:
            pass
        assert found.parts == {}
        source.fails = False
        while (await news(watch)).failed:
            pass


async def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)
    feed = Feed(Source().read, 60)
    async with aclosing(feed.watch()) as watch:
        await news(watch)
        assert await anext(watch) is None


async def test_a_closed_feed_ends_its_streams() -> None:
    feed = Feed(Source().read, 60)
    async with aclosing(feed.watch()) as watch:
        await news(watch)
        ending = asyncio.ensure_future(anext(watch, "ended"))
        await asyncio.sleep(0)
        feed.close()
        assert await ending == "ended"


@pytest.fixture
async def watched(settings: Settings) -> AsyncIterator[Api]:
    """An API with its console, and a client that does not read an answer to its end before it shows it."""
    async with serve(replace(settings, console=True)) as api, httpx.AsyncClient(base_url=api.http.base_url) as http:
        yield Api(http, api.server)


async def opened(engine: AsyncEngine) -> dict[str, str]:
    """The header of a fresh session."""
    access = Access(engine)
    cookie = await access.open(await access.link(Who("root", "cli"), "ada", "read", 5))
    return {"Cookie": f"eo_console={cookie}"}


async def lines_until(answer: httpx.Response, wanted: str) -> list[str]:
    """The lines of a stream up to the first that begins so."""
    found = []
    async for line in answer.aiter_lines():
        found.append(line)
        if line.startswith(wanted):
            break
    return found


async def test_an_api_that_is_told_to_stop_ends_its_streams_whole(watched: Api, engine: AsyncEngine) -> None:
    """A stream that is cut off raises here. Without its end the stop would wait for it as long as it may."""
    async with watched.http.stream("GET", "/console/live/overview", headers=await opened(engine)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        lines = answer.aiter_lines()
        async for line in lines:
            if line.startswith("event: parts"):
                watched.server.should_exit = True
                break
        async for _line in lines:
            pass


async def test_a_stream_without_a_session_is_told_to_stop_asking_and_reads_nothing(watched: Api) -> None:
    async with watched.http.stream("GET", "/console/live/overview") as answer:
        assert "event: closed" in await lines_until(answer, "event:")
    assert watched.server.app.state["console"].feeds["overview"].watchers == 0


async def test_a_stream_ends_with_its_session(
    watched: Api, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.web.console.streams.HEARTBEAT_S", 0)
    cookie = await opened(engine)
    async with watched.http.stream("GET", "/console/live/overview", headers=cookie) as answer:
        await Access(engine).end(cookie["Cookie"].partition("=")[2])
        assert "event: closed" in await lines_until(answer, "event: closed")


async def test_a_head_of_a_stream_has_an_end(watched: Api, engine: AsyncEngine) -> None:
    answer = await watched.http.head("/console/live/overview", headers=await opened(engine))
    assert answer.status_code == 200
