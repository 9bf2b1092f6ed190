"""What the handlers of one API process share: engine, keys, waiters and the like, from its start to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from litestar import Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import ApiKeys, WrongKeys, install_key
from service.duplicates import Flusher
from service.foundation.addresses.stripe import webhook_secrets
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.starting import check_start
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.inbox import Inbox
from service.monitoring import Gauges, Heart, ReadyCheck
from service.orders import GroupCommit
from service.orders.operations import Operations
from service.refunds import RefundDoor
from service.web.payment_pages import PaymentPages
from service.web.ratelimit import RateLimit
from service.web.waiting import Waiting

_REDIS_CONNECTIONS = 8


@dataclass(slots=True)
class Resources:
    """One of each for all requests of this process."""

    engine: AsyncEngine
    group_commit: GroupCommit
    operations: Operations
    refunds: RefundDoor
    keys: ApiKeys
    waiting: Waiting
    redis: Redis | None
    limit: RateLimit | None
    readiness: ReadyCheck
    wrong_keys: WrongKeys
    payment_pages: PaymentPages
    inbox: Inbox
    webhook_secrets: tuple[str, ...]
    gauges: Gauges
    settings: Settings


@asynccontextmanager
async def running_resources(settings: Settings) -> AsyncIterator[Resources]:
    """The resources, while the API runs. Raises Misconfigured or Unavailable where it must not start."""
    await prepare(settings)
    resources = make_resources(settings)
    stop = asyncio.Event()
    counting = asyncio.create_task(Flusher(resources.engine, "api").run(stop))
    using = asyncio.create_task(resources.keys.last_used.keep(stop))
    beating = asyncio.create_task(_beat(settings, stop)) if resources.redis is not None else None
    try:
        yield resources
    finally:
        stop.set()
        resources.waiting.close()
        await resources.group_commit.close()
        await resources.refunds.close()
        await resources.readiness.close()
        await resources.payment_pages.close()
        await counting
        await using
        if beating is not None:
            await beating
        if resources.redis is not None:
            await resources.redis.aclose()
        await close(resources.engine)


async def prepare(settings: Settings) -> None:
    """Check that the API may start, and install the key of EO_API_KEY. Raises Misconfigured or Unavailable."""
    await check_start(settings)
    engine = create_engine(settings, name="api start", pool=1)
    try:
        if settings.api_key:
            await install_key(engine, settings.api_key)
    finally:
        await close(engine)


def resources_of(request: Request[Any, Any, Any]) -> Resources:
    """The resources of the process that serves this request."""
    return request.app.state["resources"]  # type: ignore[no-any-return]


async def _beat(settings: Settings, stop: asyncio.Event) -> None:
    heart = Heart.of(settings.redis_url, "api")
    try:
        await heart.run(stop)
    finally:
        await heart.end()


def make_resources(settings: Settings) -> Resources:
    """The resources, without any connection yet."""
    engine = create_engine(settings, name="api")
    redis = _redis(settings.redis_url)
    limit = None if redis is None else RateLimit(redis, settings.rate_limit_rps)
    group_commit = GroupCommit(settings)
    operations = Operations(engine, group_commit.durability, group_commit.waker)
    readiness = ReadyCheck(settings, group_commit.oldest_s)
    return Resources(
        engine,
        group_commit,
        operations,
        RefundDoor(settings, operations),
        ApiKeys(engine),
        Waiting(engine),
        redis,
        limit,
        readiness,
        WrongKeys(redis),
        PaymentPages(settings),
        Inbox(engine, group_commit.durability, group_commit.waker),
        webhook_secrets(settings.stripe_webhook_secret),
        Gauges(engine, redis),
        settings,
    )


def _redis(url: str) -> Redis | None:
    """A client, or None where REDIS_URL is empty. Its few connections are shared: a burst of requests waits for one."""
    return async_client(url, connections=_REDIS_CONNECTIONS) if url else None
