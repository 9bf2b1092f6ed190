"""The application and its server. A handler reads its request, calls one room of the service, and writes the answer.

`create_app` builds the application for any ASGI server; `run` serves it with uvicorn. The routes are the operations of
`service.web.routes`; those below /v1 stand behind one middleware that asks for an API key.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import groupby
from types import FrameType
from typing import Any

import uvicorn
from litestar import HttpMethod, Litestar, route
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from service.foundation import log, tracing
from service.foundation.deadlines import STOP_S, exit_within
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.garbage import collect_rarely
from service.foundation.settings import Settings
from service.web import docs, front, metrics, problems
from service.web.auth import SCOPE, Authentication
from service.web.body import BODY_MAX
from service.web.operation import AnyRequest, Operation
from service.web.request_log import RequestLog
from service.web.resources import prepare, running_resources
from service.web.routes import OPERATIONS

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_app(settings: Settings) -> Litestar:
    """The application. Its start raises Misconfigured where the database could forget or has another schema."""
    console, running = _console(settings) if settings.console else ([], [])
    return Litestar(
        route_handlers=[
            *_handlers(OPERATIONS),
            *docs.HANDLERS,
            *metrics.HANDLERS,
            *console,
        ],
        lifespan=[lambda app: _running(app, settings), *running],
        exception_handlers=problems.HANDLERS,
        before_send=[problems.add_request_id, front.protect],
        request_max_body_size=BODY_MAX,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then stop within 5 s and return. Raises Misconfigured or Unavailable."""
    log.configure("api")
    tracing.start(settings.traces)
    asyncio.run(prepare(settings))  # also at the application's start, but there uvicorn would only say "failed"
    # uvicorn raises the signal again when it is done; by then there is nothing left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    app = create_app(settings)
    front.Front.connections_max = front.connections_possible()
    collect_rarely()
    Server(app, settings).run()


class Server(uvicorn.Server):
    """uvicorn with its fastest loop and parser and without its own log. Before it stops, it answers all who wait."""

    def __init__(self, app: Litestar, settings: Settings) -> None:
        self.app = app
        super().__init__(
            uvicorn.Config(
                RequestLog(app),
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                http=front.Front,
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(STOP_S),
            ),
        )

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # every second
            front.sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal, and end the process within a bound."""
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
        if (resources := self.app.state.get("resources")) is not None:
            resources.waiting.close()
        if (console := self.app.state.get("console")) is not None:
            console.close()
        await super().shutdown(sockets)


@asynccontextmanager
async def _running(app: Litestar, settings: Settings) -> AsyncIterator[None]:
    async with running_resources(settings) as resources:
        app.state["resources"] = resources
        yield


def _console(settings: Settings) -> tuple[list[HTTPRouteHandler], list[Lifespan]]:
    """The console's handlers, and what they share. It is imported where it is on: elsewhere it costs nothing.

    Raises Misconfigured where it would be open to a network.
    """
    from service.console import Doorway  # noqa: PLC0415
    from service.web.console import frame, pages  # noqa: PLC0415

    doorway = Doorway.of(settings)
    return pages.handlers(settings), [lambda app: frame.running(app, settings, doorway)]


def _handlers(operations: Iterable[Operation]) -> list[HTTPRouteHandler]:
    """The framework's handlers of these operations. A `Router` would copy all of them at each start."""
    found = []
    for path, same_path in groupby(sorted(operations, key=lambda o: o.route), lambda o: o.route):
        together = list(same_path)
        if len(together) > 1:
            found.append(_options(path, together))  # first, or Litestar makes its own
        found += [_handler(operation) for operation in together]
    return found


def _handler(operation: Operation) -> HTTPRouteHandler:
    max_bytes = BODY_MAX if operation.body is None else operation.body.max_bytes
    # Litestar takes 204 for what a DELETE answers, and refuses handlers that return anything; ours say it themselves.
    status = 200 if operation.method == "DELETE" else None
    made = route(
        operation.route,
        http_method=_methods(operation),
        request_max_body_size=max_bytes,
        status_code=status,
        opt={} if operation.scope is None else {SCOPE: operation.scope},
        middleware=[Authentication()] if operation.is_keyed else None,
    )
    return made(operation.handler)


def _options(path: str, operations: Sequence[Operation]) -> HTTPRouteHandler:
    """OPTIONS for a path with several handlers: Litestar's own names the methods of the first only (litestar#4169)."""
    methods = sorted({HttpMethod.OPTIONS.value, *(m.value for o in operations for m in _methods(o))})

    @route(path, http_method=HttpMethod.OPTIONS)
    async def options(request: AnyRequest) -> ASGIResponse:  # noqa: ARG001  the signature is the framework's
        return ASGIResponse(status_code=204, headers={"Allow": ", ".join(methods)})

    return options


def _methods(operation: Operation) -> list[HttpMethod]:
    return [HttpMethod.GET, HttpMethod.HEAD] if operation.method == "GET" else [HttpMethod(operation.method)]
