"""What the handlers of the API work with: made at start, in the event loop that serves, and given back at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.keys import ApiKeys, install_key
from service.accounts.wrong_keys import WrongKeys
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.starting import check_start
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.monitoring.heartbeats import Heart
from service.orders.group_commit import GroupCommit
from service.web.health import ReadyCheck
from service.web.ratelimit import RateLimit
from service.web.waiting import Waiting

_REDIS_CONNECTIONS = 8


@dataclass(slots=True)
class Parts:
    """One of each, for all requests of this process."""

    engine: AsyncEngine
    door: GroupCommit
    keys: ApiKeys
    waiting: Waiting
    redis: Redis | None
    limit: RateLimit | None
    readiness: ReadyCheck
    wrong_keys: WrongKeys


@asynccontextmanager
async def running_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, while the API runs. Raises Misconfigured or Unavailable where it must not start."""
    await check(settings)
    parts = make_parts(settings)
    stop = asyncio.Event()
    beating = asyncio.create_task(_beat(settings, stop)) if parts.redis is not None else None
    try:
        yield parts
    finally:
        stop.set()
        parts.waiting.close()
        await parts.door.close()
        await parts.readiness.close()
        if beating is not None:
            await beating
        if parts.redis is not None:
            await parts.redis.aclose()
        await close(parts.engine)


async def check(settings: Settings) -> None:
    """Refuse what must not be started on, and install the environment's key. Raises Misconfigured or Unavailable."""
    await check_start(settings)
    engine = create_engine(settings, name="api start", pool=1)
    try:
        if settings.api_key:
            await install_key(engine, settings.api_key)
    finally:
        await close(engine)


async def _beat(settings: Settings, stop: asyncio.Event) -> None:
    heart = Heart.of(settings.redis_url, "api")
    try:
        await heart.run(stop)
    finally:
        await heart.end()


def make_parts(settings: Settings) -> Parts:
    """Nothing of it is connected yet."""
    engine = create_engine(settings, name="api")
    redis = _redis(settings.redis_url)
    limit = RateLimit(redis, settings.rate_limit_rps) if redis is not None and settings.rate_limit_rps else None
    door = GroupCommit(settings)
    readiness = ReadyCheck(settings, door.oldest_s)
    return Parts(engine, door, ApiKeys(engine), Waiting(engine), redis, limit, readiness, WrongKeys())


def _redis(url: str) -> Redis | None:
    """A client, or None where no broker is named. Few connections: a limiter's burst waits for one of them."""
    return async_client(url, connections=_REDIS_CONNECTIONS) if url else None
