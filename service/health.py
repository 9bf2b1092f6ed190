"""Whether this process can do its work. `live` asks nothing; `ready` asks what an order needs."""

import asyncio
from typing import Literal, TypedDict

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import migrate, standstill
from service.errors import EffectivelyOnceError
from service.recovery import is_verified

_PATIENCE_S = 2.0
_WAIT = "orders are accepted, charges wait."


class Liveness(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(TypedDict):
    """`degraded`: orders are accepted and paid later. `unavailable`: none is accepted. `reasons` say why."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, str]
    reasons: list[str]


async def readiness(engine: AsyncEngine, redis: Redis | None) -> tuple[int, Readiness]:
    """HTTP status and body: 200 `ok`; 200 `degraded` where orders are accepted and charges wait; else 503."""
    database, (broker, stripe) = await asyncio.gather(_database(engine), _redis(redis))
    memory = None if database else await _memory(engine)
    reasons = [reason for reason in (database, broker, stripe, memory) if reason]
    named = {"postgres": database, "redis": broker, "stripe": stripe, "memory": memory}
    checks = {name: reason or "ok" for name, reason in named.items()}
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
    return f"Stripe is still to be asked what this database may have forgotten: {_WAIT}"


async def _redis(redis: Redis | None) -> tuple[str | None, str | None]:
    """What is wrong with the broker, and why the workers send nothing to Stripe: Redis knows both."""
    if redis is None:
        return f"REDIS_URL is not set: {_WAIT}", None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            stopped = await standstill.read(redis)
    except (RedisError, OSError, TimeoutError) as error:
        return f"Redis cannot be reached ({type(error).__name__}): {_WAIT}", None
    return None, f"Nothing is sent to Stripe ({stopped.reason}): {_WAIT}" if stopped else None
