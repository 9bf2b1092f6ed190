"""The ASGI application: `/v1/…` and `/v2/…` go to the API, `/_sandbox/…` to the control API.

Scheduled work and deliveries run beside them.
"""

import asyncio
import contextlib
from typing import Any

from sandbox.api import Api
from sandbox.control import PREFIX, Control
from sandbox.request import request_of
from sandbox.state import Sandbox
from sandbox.wire import Wire


class App:
    """One callable per process. No framework: routing is two string comparisons and a dictionary."""

    def __init__(self, sandbox: Sandbox, secret: str) -> None:
        self._sandbox = sandbox
        self._api = Api(sandbox)
        self._control = Control(self._api, secret)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        wire = Wire(scope, receive, send)
        body = await wire.body()
        path: str = scope["path"]
        if body is None:
            return
        if path.startswith(PREFIX):
            await self._control.serve(scope, body, wire)
        else:
            await self._api.serve(request_of(scope, scope["headers"], body), wire)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        working = [asyncio.create_task(work) for work in (self._api.tick(), self._api.deliverer.run())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in working:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._sandbox.store.close()
        await send({"type": "lifespan.shutdown.complete"})
