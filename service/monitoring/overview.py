"""The state of one installation, read from outside: who moves, what waits, and why nothing is sent.

Redis and PostgreSQL are asked independently, each for at most 5 s.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from service.foundation.postgres.db import close, create_engine
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.foundation.wording import in_words
from service.monitoring import probes
from service.monitoring.heartbeats import Beat
from service.monitoring.probes import (
    COUNTED_MAX,
    Bounded,
    BrokerState,
    OutboxState,
    why_not_published,
    why_not_stored,
)
from service.notices import Waiting, waiting

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Overview:
    """`beats` and `breaker` come from Redis, `outbox` and `notices` from PostgreSQL.

    `unknown` says of each source that could not be asked, or that refuses what an order writes, why that is so.
    """

    beats: list[Beat]
    breaker: str | None  # why nothing is sent; None where it is closed, or not known
    is_breaker_known: bool
    unanswered: str | None  # why nothing comes back from Stripe; None where it answers, or not known
    outbox: OutboxState | None
    notices: Waiting | None
    unknown: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The overview as `--json` prints it."""
        return {
            "processes": [
                {
                    "part": beat.process.part,
                    "host": beat.process.host,
                    "pid": beat.process.pid,
                    "started_at": beat.process.started_at,
                    "moved_s_ago": round(beat.age_s, 1),
                    "moves": beat.is_alive,
                }
                for beat in self.beats
            ],
            "breaker": self.breaker,
            "stripe_unanswered": self.unanswered,
            "outbox": None
            if self.outbox is None
            else {
                "waiting": self.outbox.waiting,
                "parked": self.outbox.parked,
                "due_s": round(self.outbox.due_s, 1),
                "oldest_s": round(self.outbox.oldest_s, 1),
            },
            "notices": None
            if self.notices is None
            else {
                "waiting": self.notices.waiting,
                "parked": self.notices.parked,
                "oldest_s": round(self.notices.oldest_s, 1),
            },
            "unknown": self.unknown,
        }


def overview(settings: Settings) -> Overview:
    """Ask Redis and PostgreSQL. It raises nothing where one of them is away."""
    return asyncio.run(_overview(settings))


async def _overview(settings: Settings) -> Overview:
    bounded = Bounded()
    broker, outbox = await asyncio.gather(
        bounded.run(_broker(settings), _PATIENCE_S), bounded.run(_outbox(settings), _PATIENCE_S), return_exceptions=True
    )
    unknown = [
        f"{name} cannot be asked: {in_words(found)}."
        for name, found in (("Redis", broker), ("PostgreSQL", outbox))
        if isinstance(found, BaseException)
    ]
    is_known = not isinstance(broker, BaseException)
    state, full = (BrokerState([], None), None) if isinstance(broker, BaseException) else broker
    rows, notices, refused = (None, None, None) if isinstance(outbox, BaseException) else outbox
    unknown += [f"{full}."] if full else []
    unknown += [refused] if refused else []
    return Overview(
        state.beats,
        state.standstill.reason if state.standstill else None,
        is_known,
        state.unanswered,
        rows,
        notices,
        unknown,
    )


async def _broker(settings: Settings) -> tuple[BrokerState, str | None]:
    """What Redis knows, and why nothing can be published: a Redis that is full can still be read."""
    redis = async_client(settings.redis_url)
    try:
        state = await probes.broker_state(redis)
        try:
            await probes.publish(redis)
        except RedisError as error:
            return state, why_not_published(error)
        return state, None
    finally:
        await redis.aclose()


async def _outbox(settings: Settings) -> tuple[OutboxState, Waiting, str | None]:
    """The outbox, the notices, and why no order can be stored: a PostgreSQL that is read-only can still be read."""
    engine = create_engine(settings, name="status", pool=1)
    try:
        state = await probes.outbox_state(engine)
        owed = await waiting(engine, COUNTED_MAX + 1)
        try:
            async with asyncio.timeout(probes.PATIENCE_S):
                await probes.store(engine)
        except Exception as error:  # noqa: BLE001  any error is a reason to show
            return state, owed, why_not_stored(error)
        return state, owed, None
    finally:
        await close(engine)
