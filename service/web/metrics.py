"""GET /metrics: what this process counts, and what the database knows, as Prometheus reads it.

A key is always asked for. To trust whoever comes from this machine would be to trust the world: a proxy on the same
machine sends everybody's requests from here, and need not say so.
"""

from collections.abc import Iterator
from typing import Any

from litestar import HttpMethod, Request, route
from litestar.response.base import ASGIResponse
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from service.accounts import is_default
from service.foundation import metrics
from service.foundation.errors import NotFound
from service.monitoring import Gauges
from service.web.auth import Authentication, caller_of
from service.web.resources import resources_of


class _Both:
    """The process's own metrics, and the gauges as they were read last."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from metrics.REGISTRY.collect()
        yield from self._gauges.collect()


@route("/metrics", http_method=[HttpMethod.GET, HttpMethod.HEAD], middleware=[Authentication()])
async def show_metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
    """All of them, in the format that the scraper accepts. They are the whole installation's, so not of any account."""
    resources = resources_of(request)
    if not await is_default(resources.engine, caller_of(request).account_id):
        raise NotFound("The metrics are shown to keys of the default account.")
    await resources.gauges.refresh()
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    # As a header: to a media type of text/ the framework would add the charset a second time.
    return ASGIResponse(body=encode(_Both(resources.gauges)), headers={"Content-Type": media_type})


HANDLERS = [show_metrics]
