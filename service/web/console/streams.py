"""Pages that renew themselves over HTTP: one stream of server-sent events per tab, of the feed of its page.

A page says `{% set live = "overview" %}` and has its parts in `<div data-part="verdict">{{ now.verdict }}</div>`. Its
handler gives it `now=await parts_of(request, "overview")`, and `@live("overview", every_s=2)` stands above the function
that makes what reads the parts.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from litestar.response.base import ASGIResponse
from litestar.response.sse import ServerSentEventMessage
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send
from markupsafe import Markup

from service.console import render
from service.console.live import HEARTBEAT_S, Feed, News, Read
from service.foundation.errors import NotFound
from service.foundation.postgres.db import is_unreachable
from service.web.console.frame import ROUTES, Console, Route, console_of, guarded, session_cookie
from service.web.operation import AnyRequest

Made = Callable[[Console], Read]

_FEEDS: dict[str, tuple[Made, float]] = {}
_RETRY_MS = 2_000
_SIGN_OF_LIFE = ServerSentEventMessage(data=None, comment="").encode()
_CLOSED = ServerSentEventMessage(event="closed").encode()


def live(name: str, *, every_s: float) -> Callable[[Made], Made]:
    """Let the decorated function make what a page's feed reads while somebody watches."""

    def add(made: Made) -> Made:
        _FEEDS[name] = made, every_s
        return made

    return add


async def parts_of(request: AnyRequest, name: str) -> dict[str, Markup]:
    """The parts of a page that is being made, for its template."""
    parts = await _feed(console_of(request), name).now()
    return {place: Markup(html) for place, html in parts.items()}  # noqa: S704  it was rendered, and so escaped


async def _stream(request: AnyRequest) -> ASGIResponse:
    """The stream of one tab. Whoever has no session, or none any more, is told to stop asking."""
    console, cookie = console_of(request), session_cookie(request)
    feed = _feed(console, request.scope["path_params"]["name"])
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return ASGIResponse(headers=headers, media_type="text/event-stream")
    last = request.headers.get("last-event-id") or request.query_params.get("last") or ""
    return _Stream(_events(console, cookie, feed, last), headers)


class _Stream(ASGIStreamingResponse):
    """A stream whose events end with it: left to the garbage collector, a feed would read on for nobody."""

    __slots__ = ("_events",)

    def __init__(self, events: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        super().__init__(iterator=events, headers=headers, media_type="text/event-stream")
        self._events = events

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send what comes, until the feed or the client ends it."""
        try:
            await super().send_body(send, receive)
        finally:
            await self._events.aclose()


async def _events(console: Console, cookie: str, feed: Feed, last: str) -> AsyncGenerator[bytes]:
    yield ServerSentEventMessage(data=None, retry=_RETRY_MS).encode()
    if await console.access.session(cookie) is None:
        yield _CLOSED
        return
    asked = time.monotonic()
    async with aclosing(feed.watch(last)) as watch:
        async for news in watch:
            if time.monotonic() - asked >= HEARTBEAT_S:
                asked = time.monotonic()
                if await _has_ended(console, cookie):
                    yield _CLOSED
                    return
            yield _SIGN_OF_LIFE if news is None else _encoded(news)


async def _has_ended(console: Console, cookie: str) -> bool:
    """Whether the session is over. While PostgreSQL is away it is not known to be, and nothing new is shown anyway."""
    try:
        return await console.access.session(cookie) is None
    except Exception as error:
        if is_unreachable(error):
            return False
        raise


def _encoded(news: News) -> bytes:
    made = render("made.html", made=news.made)
    body = msgspec.json.encode({"made": made, "parts": news.parts, "failed": news.failed})
    return ServerSentEventMessage(data=body, event="parts", id=news.id).encode()


def _feed(console: Console, name: str) -> Feed:
    if name not in _FEEDS:
        raise NotFound("There is no such stream.")
    if name not in console.feeds:
        made, every_s = _FEEDS[name]
        console.feeds[name] = Feed(made(console), every_s)
    return console.feeds[name]


ROUTES.append(Route("GET", "/console/live/{name:str}", guarded(_stream)))
