"""Whether this process can do its work. `live` asks nothing; `ready` asks what an order needs."""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import migrate
from service.errors import EffectivelyOnceError
from service.recovery import is_verified

_PATIENCE_S = 2.0


async def readiness(engine: AsyncEngine, redis: Redis | None) -> tuple[int, dict[str, Any]]:
    """HTTP status and body: 200 `ok`; 200 `degraded` where orders are accepted and charges wait; else 503."""
    database, broker = await asyncio.gather(_database(engine), _redis(redis))
    memory = None if database else await _memory(engine)
    reasons = [reason for reason in (database, broker, memory) if reason]
    checks = {"postgres": database or "ok", "redis": broker or "ok", "memory": memory or "ok"}
    if database:
        return 503, {"status": "unavailable", "checks": checks, "reasons": reasons}
    return 200, {"status": "degraded" if reasons else "ok", "checks": checks, "reasons": reasons}


async def _database(engine: AsyncEngine) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await migrate.check(engine)
    except EffectivelyOnceError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a health check reports, whatever it meets
        return f"PostgreSQL cannot be asked ({type(error).__name__})."
    return None


async def _memory(engine: AsyncEngine) -> str | None:
    """Whether Stripe was asked what this database may have forgotten (R31)."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            if await is_verified(engine):
                return None
    except Exception as error:  # noqa: BLE001  a health check reports, whatever it meets
        return f"PostgreSQL cannot be asked ({type(error).__name__})."
    return "Stripe is still to be asked what this database may have forgotten: orders are accepted, charges wait."


async def _redis(redis: Redis | None) -> str | None:
    if redis is None:
        return "REDIS_URL is not set: orders are accepted, charges wait."
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return f"Redis cannot be reached ({type(error).__name__}): orders are accepted, charges wait."
    return None
