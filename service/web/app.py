"""The door: HTTP in, orders out. Handlers only read the request, call one noun, and write the answer.

`create_app` builds the application for any ASGI server; `run` serves it with uvicorn. Everything under /v1 asks for an
API key by the router's middleware, so no list of exceptions can be wrong. Answers are built by hand (`wire.answer`): no
dependency injection and no second decoding stand between a request and its order.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, cast
from uuid import UUID

import uvicorn
from litestar import HttpMethod, Litestar, Request, Router, route
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, Receive, Scope, Send

from service import orders
from service.accounts.keys import Caller, WrongKey
from service.foundation import log
from service.foundation.deadlines import STOP_S, exit_within
from service.foundation.errors import BadRequest, Misconfigured, Problem, TooManyRequests, Unavailable
from service.foundation.garbage import collect_rarely
from service.foundation.settings import Settings
from service.ledger import balances, entries
from service.orders.keys import key_of_headers
from service.orders.model import OrderPage, OrderRequest, check_order
from service.orders.timeline import timeline
from service.web import body as wire
from service.web import docs, front, problems, waiting
from service.web.health import Liveness
from service.web.parts import Parts, check, running_parts
from service.web.query import Query
from service.web.request_log import RequestLog

_TOO_MANY_WRONG = "Too many wrong API keys came from this address. A right one is served all the same."
_BATCH_WEIGHT = 100  # orders of a batch that weigh as much as a request of its own where a flood is measured

AnyRequest = Request[Any, Any, Any]


def create_app(settings: Settings) -> Litestar:
    """The application. Its start refuses a database that could forget, or one with another schema (Misconfigured)."""
    return Litestar(
        route_handlers=[_v1(), live, ready, docs.page, docs.asset, docs.openapi_json, docs.home],
        lifespan=[lambda app: _running(app, settings)],
        exception_handlers=problems.HANDLERS,
        before_send=[problems.add_request_id, front.protect],
        request_max_body_size=wire.BODY_MAX,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then stop within 5 s and return. Raises Misconfigured or Unavailable."""
    log.configure("api")
    asyncio.run(check(settings))  # also at the application's start, but there uvicorn would only say "failed"
    # uvicorn raises the signal again when it is done; by then there is nothing left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    app = create_app(settings)
    front.Front.connections_max = front.connections_possible()
    collect_rarely()
    Server(app, settings).run()


class Server(uvicorn.Server):
    """uvicorn on its fast parts, silent about itself, that answers those who wait before it waits for them."""

    def __init__(self, app: Litestar, settings: Settings) -> None:
        self.app = app
        super().__init__(
            uvicorn.Config(
                RequestLog(app),
                host=settings.host, port=settings.port, loop="uvloop", http=front.Front, ws="none", lifespan="on",
                access_log=False, log_config=None, server_header=False, proxy_headers=False,
                timeout_graceful_shutdown=int(STOP_S),
            )
        )  # fmt: skip

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # every second
            front.sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: from now on the process has a bound."""
        exit_within()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Begin to listen. Raises Misconfigured where the address is taken: uvicorn only ends the process."""
        try:
            await super().startup(sockets)
        except SystemExit as end:
            if self.lifespan.should_exit:
                raise Unavailable("The application could not start; the lines above say why.") from end
            raise Misconfigured(
                f"Cannot listen on {self.config.host}:{self.config.port}: it is taken, or not an address of this "
                "machine. Set EO_PORT or EO_HOST."
            ) from end

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        if (parts := self.app.state.get("parts")) is not None:
            parts.waiting.close()
        await super().shutdown(sockets)


@asynccontextmanager
async def _running(app: Litestar, settings: Settings) -> AsyncIterator[None]:
    async with running_parts(settings) as parts:
        app.state["parts"] = parts
        yield


class Authentication(ASGIMiddleware):
    """Around /v1: leaves the caller in the scope, or raises (401; 503 when the key cannot be checked).

    A guard would do as well, but Litestar copies the whole handler for each call of one.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """One request."""
        if scope.get("method") != HttpMethod.OPTIONS:  # which tells nothing but the methods
            parts: Parts = scope["litestar_app"].state["parts"]
            try:
                scope["auth"] = await parts.keys.caller(scope["headers"])
            except WrongKey as wrong:
                if wait_s := parts.wrong_keys.note((scope.get("client") or (None,))[0]):
                    raise TooManyRequests(_TOO_MANY_WRONG, retry_after_s=wait_s) from wrong
                raise
        await next_app(scope, receive, send)


@route("/orders", http_method=HttpMethod.POST)
async def create_order(request: AnyRequest) -> ASGIResponse:
    """Accept an order: 201 only after COMMIT. A replay answers with the order as it is now."""
    parts, caller = _parts_of(request), _caller(request)
    headers = request.scope["headers"]
    key = key_of_headers(headers)
    order = await wire.read(request, OrderRequest)
    check_order(order, key)
    if parts.limit is not None:
        await parts.limit.admit(caller.key_id, is_replay=lambda: orders.exists(parts.engine, caller.account_id, key))
    placed = await parts.door.submit(orders.Candidate.of(caller.account_id, key, order))
    shown = placed.order
    if wait_s := waiting.wished_s(headers):
        shown = await parts.waiting.until_settled(shown, wait_s)
    more = {"Location": f"/v1/orders/{shown.id}"}
    if placed.replayed:
        more["Idempotent-Replayed"] = "true"
    return wire.answer(shown, 201, more)


@route("/orders/batch", http_method=HttpMethod.POST, request_max_body_size=wire.BATCH_BODY_MAX)
async def create_orders(request: AnyRequest) -> ASGIResponse:
    """Accept up to 1,000 orders, each with its own key and its own answer."""
    parts, caller = _parts_of(request), _caller(request)
    items = [_read_item(raw) for raw in await wire.read_batch(request)]
    await _limit_batch(parts, caller, items)
    submitted = [_submit(parts, caller, item) for item in items]
    waited = [s for s in submitted if not isinstance(s, Problem)]
    answers = iter(await asyncio.gather(*waited, return_exceptions=True))
    results = [_result(s if isinstance(s, Problem) else next(answers), request) for s in submitted]
    return wire.answer(wire.BatchAnswer(results))


@route("/orders", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def list_orders(request: AnyRequest) -> ASGIResponse:
    """The caller's orders, newest first."""
    await _limit(request)
    query = Query(request.scope["query_string"], allowed=("status", "idempotency_key", "limit", "cursor"))
    found, more = await orders.page(
        _parts_of(request).engine, _caller(request).account_id,
        limit=query.limit(), before=query.cursor(), status=query.status(), key=query.key(),
    )  # fmt: skip
    return wire.answer(OrderPage(found, Query.next_cursor(found[-1].id) if more else None))


@route("/orders/{order_id:uuid}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def get_order(request: AnyRequest) -> ASGIResponse:
    """One order, as it is now; `Prefer: wait=N` holds the answer until it is settled."""
    await _limit(request)
    parts = _parts_of(request)
    order = await orders.get(parts.engine, _caller(request).account_id, _order_id(request))
    if wait_s := waiting.wished_s(request.scope["headers"]):
        order = await parts.waiting.until_settled(order, wait_s)
    return wire.answer(order)


@route("/orders/{order_id:uuid}/timeline", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def get_timeline(request: AnyRequest) -> ASGIResponse:
    """What happened to one order, oldest first, and why it waits where it does."""
    await _limit(request)
    parts = _parts_of(request)
    checks = (await parts.readiness.ask()).checks
    found = await timeline(parts.engine, _caller(request).account_id, _order_id(request), checks)
    return wire.answer({"data": found})


@route("/ledger/balances", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def get_balances(request: AnyRequest) -> ASGIResponse:
    """Balances per ledger account and currency, now or as of an instant."""
    await _limit(request)
    as_of = Query(request.scope["query_string"], allowed=("as_of",)).as_of()
    return wire.answer({"data": await balances(_parts_of(request).engine, _caller(request).account_id, as_of)})


@route("/ledger/entries", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def get_entries(request: AnyRequest) -> ASGIResponse:
    """The journal entries of one order."""
    await _limit(request)
    order_id = Query(request.scope["query_string"], allowed=("order_id",)).order_id()
    engine, account_id = _parts_of(request).engine, _caller(request).account_id
    await orders.get(engine, account_id, order_id)
    return wire.answer({"data": await entries(engine, account_id, order_id)})


@route("/health/live", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def live(request: AnyRequest) -> ASGIResponse:  # noqa: ARG001  the signature is the framework's
    """Whether this process runs."""
    return wire.answer(Liveness())


@route("/health/ready", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def ready(request: AnyRequest) -> ASGIResponse:
    """Whether an order can be accepted now, and paid."""
    parts = _parts_of(request)
    health = await parts.readiness.ask()
    return wire.answer(health, health.http_status)


def _v1() -> Router:
    handlers = [create_order, create_orders, list_orders, get_order, get_timeline, get_balances, get_entries]
    options = _options("/orders", "GET", "HEAD", "OPTIONS", "POST")
    return Router("/v1", route_handlers=[options, *handlers], middleware=[Authentication()])


def _options(path: str, *methods: str) -> HTTPRouteHandler:
    """OPTIONS for a path with several handlers: Litestar's own names the methods of the first only (litestar#4169)."""

    @route(path, http_method=HttpMethod.OPTIONS)
    async def options(request: AnyRequest) -> ASGIResponse:  # noqa: ARG001  the signature is the framework's
        return ASGIResponse(status_code=204, headers={"Allow": ", ".join(methods)})

    return options


_Item = tuple[str, OrderRequest]


def _read_item(raw: bytes) -> _Item | Problem:
    try:
        return wire.read_item(raw)
    except BadRequest as problem:
        return problem


async def _limit_batch(parts: Parts, caller: Caller, items: Sequence[_Item | Problem]) -> None:
    """A batch counts its new orders; one that only repeats orders is a replay (R7)."""
    if parts.limit is None:
        return
    keys = {item[0] for item in items if not isinstance(item, Problem)}
    new = len(items) - await orders.known_keys(parts.engine, caller.account_id, sorted(keys))

    async def is_replay() -> bool:
        return not new

    weight = max(1, len(items) // _BATCH_WEIGHT)
    await parts.limit.admit(caller.key_id, cost=new, weight=weight, is_replay=is_replay)


def _submit(parts: Parts, caller: Caller, item: _Item | Problem) -> "asyncio.Future[orders.Placed] | Problem":
    if isinstance(item, Problem):
        return item
    return parts.door.submit(orders.Candidate.of(caller.account_id, *item))


def _result(outcome: "orders.Placed | BaseException", request: AnyRequest) -> wire.BatchResult:
    if isinstance(outcome, orders.Placed):
        return wire.BatchResult(201, outcome.replayed, outcome.order)
    problem = problems.as_problem(outcome, request.scope)
    return wire.BatchResult(problem.status, problem=problems.body_of(problem, problems.request_id(request.scope)))


async def _limit(request: AnyRequest) -> None:
    limit = _parts_of(request).limit
    if limit is not None:
        await limit.admit(_caller(request).key_id)


def _parts_of(request: AnyRequest) -> Parts:
    return request.app.state["parts"]  # type: ignore[no-any-return]


def _caller(request: AnyRequest) -> Caller:
    return request.scope["auth"]  # type: ignore[no-any-return]


def _order_id(request: AnyRequest) -> UUID:
    return cast("UUID", request.scope["path_params"]["order_id"])  # the route's type has parsed it
