"""One line of JSON per HTTP request: its id, route, status, duration, account, and a hash of its idempotency key.

Each request is also counted and measured for Prometheus here.
"""

from time import perf_counter
from typing import Any
from uuid import UUID

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from service.foundation import metrics, tracing
from service.foundation.events import Event
from service.foundation.lines import LineWriter, now
from service.foundation.log import hashed
from service.web.problems import request_id

_TRACED = "/v1/"  # what probes and browsers ask for is in no trace
_NO_ROUTE = "none"  # of a request whose path has no handler


class Line(msgspec.Struct, omit_defaults=True):
    """What is logged of a request. `key` is a hash of its Idempotency-Key; `status` is null without an answer."""

    ts: str
    level: str
    process: str
    event: str
    request_id: str
    method: str
    route: str
    status: int | None
    ms: float
    account_id: UUID | None = None
    key: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class RequestLog:
    """Calls the application it is wrapped around, and writes a line when that has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lines = LineWriter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the application's start and end."""
        if scope["type"] != "http":  # type: ignore[comparison-overlap]  # Litestar writes this as an enumeration
            await self._app(scope, receive, send)
            return
        if tracing.spans is None or not scope["path"].startswith(_TRACED):
            await self._answer(scope, receive, send)
        else:
            with tracing.spans.serving(scope["headers"]) as span:
                await self._answer(scope, receive, send)
                span.update_name(_describe(span, scope))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._note(scope, perf_counter() - began)

    def _note(self, scope: Any, seconds: float) -> None:
        trace_id, span_id = (None, None) if tracing.spans is None else tracing.spans.ids()
        caller = scope.get("auth")
        route, status = scope.get("path_template") or _NO_ROUTE, scope["state"].get("eo_status")
        metrics.request(route, scope["method"], status, seconds)
        self._lines.add(
            Line(
                ts=now(),
                level="info",
                process="api",
                event=Event.REQUEST,
                request_id=request_id(scope),
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                account_id=None if caller is None else caller.account_id,
                key=_key_of(scope),
                trace_id=trace_id,
                span_id=span_id,
            )
        )


def _describe(span: Any, scope: Any) -> str:
    """Say in the span what was answered; returns its name."""
    route = scope.get("path_template") or _NO_ROUTE
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", scope["state"].get("eo_status") or 0)
    return f"{scope['method']} {route}"


def _key_of(scope: Any) -> str | None:
    if scope["method"] != "POST":
        return None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            return hashed(value.decode("latin-1").strip().strip('"'))
    return None
