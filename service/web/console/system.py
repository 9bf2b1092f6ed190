"""The page of the system, and that of what operators did."""

import asyncio

from litestar.response.base import ASGIResponse
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service import __version__, audit
from service.console import Visitor, system
from service.monitoring import Beat, heartbeats
from service.web.console.frame import console_of, page, show
from service.web.operation import AnyRequest
from service.web.resources import resources_of

_PATIENCE_S = 2.0
_NOTED_MAX = 200


@page("/console/system", nav="System")
async def of_the_system(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """What runs, and how it is set."""
    console = console_of(request)
    return show(
        visitor,
        "system.html",
        title="System",
        version=__version__,
        beats=await _beats(resources_of(request).redis),
        found=await system.read(console.engine),
        settings=list(system.settings(console.settings)),
        up=system.started,
    )


@page("/console/audit", nav="Audit")
async def of_the_audit(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """What operators did, the newest first."""
    subject = request.query_params.get("subject") or None
    lines = await audit.noted(console_of(request).engine, subject=subject, limit=_NOTED_MAX)
    told = [(line, audit.changed(line)) for line in lines]
    return show(visitor, "audit.html", title="Audit", told=told, subject=subject, most=_NOTED_MAX)


async def _beats(redis: Redis | None) -> list[Beat] | None:
    """The processes of the fleet; None where Redis does not say."""
    if redis is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await heartbeats.read(redis)
    except (RedisError, OSError, TimeoutError):
        return None
