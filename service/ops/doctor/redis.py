"""Redis: whether it takes messages, keeps them while it runs, and tells the same time."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from service.foundation.broker_keys import QUEUE_KEY
from service.foundation.deadlines import STATEMENT_S
from service.foundation.postgres.driver import in_words
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.monitoring import probes
from service.ops.doctor.check import Check, clock, judged

_NOW = "return redis.call('TIME')"


async def checks(settings: Settings) -> list[Check]:
    """All of them; of a Redis that does not answer only that."""
    if not settings.redis_url:
        return [Check("redis", ok=False, said="REDIS_URL is not set", next_step="Set it, or start `eo up`.")]
    client = async_client(settings.redis_url)
    try:
        async with asyncio.timeout(STATEMENT_S):
            takes = await _takes(client)
            if not takes.ok and not await _answers(client):
                return [takes]
            return [takes, await clock("redis", lambda: _now(client)), *await _keeps(client)]
    except TimeoutError as error:
        return [Check("redis", ok=False, said=in_words(error), next_step=_WAITS)]
    finally:
        await client.aclose()


async def _takes(client: Redis) -> Check:
    try:
        await probes.publish(client)
    except Exception as error:  # noqa: BLE001  a doctor reports whatever is found
        return Check("redis", ok=False, said=probes.why_not_published(error), next_step=_WAITS)
    return Check("redis", ok=True, said="takes messages")


async def _answers(client: Redis) -> bool:
    try:
        await _now(client)
    except Exception:  # noqa: BLE001  as above
        return False
    return True


async def _now(client: Redis) -> float:
    seconds, microseconds = await client.register_script(_NOW)(keys=[QUEUE_KEY])
    return int(seconds) + int(microseconds) / 1e6


async def _keeps(client: Redis) -> list[Check]:
    """Whether it may throw messages away while it runs, and what a restart leaves of them."""
    try:
        memory, persistence = await client.info("memory"), await client.info("persistence")
    except Exception as error:  # noqa: BLE001  a provider may refuse INFO
        return [Check("redis memory", ok=True, said=f"not known: {in_words(error)}")]
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    wrong = f"with the policy {policy} a full Redis throws messages away unseen" if policy != "noeviction" else ""
    return [
        judged("redis memory", "a full Redis refuses messages, and throws none away", wrong, _POLICY),
        judged("redis persistence", _after_a_restart(persistence), _write_error(persistence), _LOG),
    ]


def _after_a_restart(persistence: Mapping[str, Any]) -> str:
    if persistence.get("aof_enabled"):
        return "a restart leaves what was written (AOF)"
    return "a restart may empty it; the relay then publishes again what the outbox holds"


def _write_error(persistence: Mapping[str, Any]) -> str:
    kinds = [("aof_last_write_status", "AOF"), ("rdb_last_bgsave_status", "RDB")]
    failed = [word for name, word in kinds if persistence.get(name, "ok") != "ok"]
    return f"the last write to disk failed ({', '.join(failed)})" if failed else ""


_WAITS = "Orders are accepted meanwhile and wait."
_POLICY = "`redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in its configuration."
_LOG = "Its log says why; is the disk full?"
