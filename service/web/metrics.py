"""GET /metrics: what this process counts, and what the database knows, as Prometheus reads it.

A key is always asked for. To trust whoever comes from this machine would be to trust the world: a proxy on the same
machine sends everybody's requests from here, and need not say so.
"""

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from time import monotonic
from typing import Any

from litestar import HttpMethod, Request, route
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from service.accounts import is_default, scopes
from service.foundation import metrics
from service.foundation.deadlines import KEY_CHECK_S
from service.foundation.errors import NotFound
from service.foundation.postgres.db import is_unreachable
from service.monitoring import Gauges
from service.web.auth import caller_with
from service.web.resources import Resources, resources_of

_REMEMBERED_S, _READERS_MAX = 3_600.0, 100


class _Both:
    """The process's own metrics, and the gauges as they were read last."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from metrics.REGISTRY.collect()
        yield from self._gauges.collect()


class Readers:
    """Who may read the metrics: keys of the default account.

    While PostgreSQL is away no key can be checked, and then the metrics are needed most: a key that was let in within
    the last hour is let in.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._let_in: dict[bytes, float] = {}

    async def check(self, resources: Resources, scope: Scope) -> None:
        """Raises Unauthorized, Forbidden, TooManyRequests, NotFound, or Unavailable where the key cannot be checked."""
        name = _digest(scope)
        try:
            # Both together, so that a scrape of a frozen PostgreSQL is over within Prometheus' own ten seconds.
            async with asyncio.timeout(KEY_CHECK_S):
                caller = await caller_with(resources, scope, scopes.Scope.OPS_READ)
                allowed = await is_default(resources.engine, caller.account_id)
        except Exception as error:
            if not is_unreachable(error):  # such as a key that was revoked meanwhile
                self._let_in.pop(name, None)
            elif self._let_in.get(name, float("-inf")) > self._clock() - _REMEMBERED_S:
                return
            raise
        if not allowed:
            raise NotFound("The metrics are shown to keys of the default account.")
        if len(self._let_in) >= _READERS_MAX:
            self._let_in.clear()
        self._let_in[name] = self._clock()


def _digest(scope: Scope) -> bytes:
    """A stand-in for the request's key, which is kept nowhere."""
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    return sha256(b"\0".join(sent)).digest()


_READERS = Readers()


@route("/metrics", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def show_metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
    """All of them, in the format that the scraper accepts. They are the whole installation's, so not of any account."""
    resources = resources_of(request)
    await _READERS.check(resources, request.scope)
    await resources.gauges.refresh()
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    # As a header: to a media type of text/ the framework would add the charset a second time.
    return ASGIResponse(body=encode(_Both(resources.gauges)), headers={"Content-Type": media_type})


HANDLERS = [show_metrics]
