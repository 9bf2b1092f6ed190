"""The checks of `eo doctor`, in the order in which an order meets what they check. No check changes anything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.addresses.postgres import PostgresAddress, postgres_address
from service.foundation.addresses.stripe import webhook_secrets
from service.foundation.deadlines import CONNECT_S, PROBE_S, STATEMENT_S
from service.foundation.errors import EffectivelyOnceError
from service.foundation.postgres import migrate
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.driver import Connector, Driver, host_of, in_words
from service.foundation.postgres.durability import check_durable
from service.foundation.postgres.sql import Connection, Record, Statement
from service.foundation.postgres.starting import refuse_shared_sessions
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.monitoring import probes
from service.ops.doctor.connections import Connections, add_up


class _Standby(Record):
    is_waited_for: bool


_WAITING_FOR_STANDBY = Statement("""
SELECT current_setting('synchronous_standby_names') <> ''
   AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS is_waited_for
""").returning(_Standby)


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result; `next_step` says what to do where it is not `ok`."""

    name: str
    ok: bool
    said: str
    next_step: str = ""


async def examine(settings: Settings, processes: Mapping[str, int]) -> tuple[list[Check], Connections | None]:
    """Run every check; returns them with the sum of connections, which needs PostgreSQL. Raises Misconfigured."""
    address = postgres_address(settings.database_url)
    checks = [await _host(address, dsn) for dsn in address.dsns]
    sum_: Connections | None = None
    if any(check.ok for check in checks):
        found, sum_ = await _of_postgres(settings, address, processes)
        checks += found
    return [*checks, await _redis(settings), await _stripe(settings), _webhooks(settings)], sum_


async def _host(address: PostgresAddress, dsn: str) -> Check:
    name = f"postgres {host_of(dsn)}"
    try:
        async with _connected(replace(address, dsns=(dsn,))) as connection:
            version = connection.get_settings().server_version  # as the server spells it: 18.4, 15.18 (Debian …)
            return Check(name, ok=True, said=f"answers, PostgreSQL {version.partition(' ')[0]}")
    except EffectivelyOnceError as error:
        return Check(name, ok=False, said=str(error).replace(" `eo doctor` tells more.", ""), next_step=_REACH)


async def _of_postgres(
    settings: Settings, address: PostgresAddress, processes: Mapping[str, int]
) -> tuple[list[Check], Connections | None]:
    engine = create_engine(settings, name="doctor", pool=1)
    try:
        checks = [
            await _asked("sessions", lambda: _sessions(address), "are our own"),
            await _asked("durability", lambda: check_durable(engine), "what is committed is kept"),
            await _asked("schema", lambda: migrate.check(engine), f"at {migrate.head()}"),
            await _writes(engine),
        ]
        async with _connected(address) as connection:
            sum_ = await add_up(connection, settings, processes)
            waits = (await Connection(connection).one(_WAITING_FOR_STANDBY)).is_waited_for
    finally:
        await close(engine)
    standby = "every COMMIT waits for a synchronous standby, and none is connected" if waits else "nobody is waited for"
    return [
        *checks,
        Check("standby", ok=not waits, said=standby, next_step=_STANDBY if waits else ""),
        Check("connections", ok=sum_.is_enough, said=sum_.in_words(), next_step="" if sum_.is_enough else _SUM),
    ], sum_


async def _sessions(address: PostgresAddress) -> None:
    async with _connected(address) as one, _connected(address) as other:
        await refuse_shared_sessions(one, other)


async def _writes(engine: AsyncEngine) -> Check:
    try:
        async with asyncio.timeout(PROBE_S):
            await probes.store(engine)
    except Exception as error:  # noqa: BLE001  a doctor reports whatever is found
        return Check("writes", ok=False, said=probes.why_not_stored(error))
    return Check("writes", ok=True, said="are committed")


async def _redis(settings: Settings) -> Check:
    if not settings.redis_url:
        return Check("redis", ok=False, said="REDIS_URL is not set", next_step="Set it, or start `eo up`.")
    client = async_client(settings.redis_url)

    try:
        async with asyncio.timeout(STATEMENT_S):
            await probes.publish(client)
    except Exception as error:  # noqa: BLE001  as above
        return Check("redis", ok=False, said=probes.why_not_published(error), next_step=_REDIS)
    else:
        return Check("redis", ok=True, said="takes messages")
    finally:
        await client.aclose()


async def _stripe(settings: Settings) -> Check:
    from service.stripe_gateway.client import StripeGateway  # noqa: PLC0415  the SDK costs half a second, `--help` needs none

    async with StripeGateway(settings) as gateway:

        async def account() -> None:
            await gateway.account_id()

        return await _asked("stripe", account, "knows this key", "Is STRIPE_API_KEY right, and its address?")


def _webhooks(settings: Settings) -> Check:
    """Nothing is wrong without them: what no event tells is found by the sweeps."""
    number = len(webhook_secrets(settings.stripe_webhook_secret))
    off = f"are off, as STRIPE_WEBHOOK_SECRET is not set; Stripe's lists are read every {settings.sweep_s:g} s"
    return Check("webhooks", ok=True, said=f"are on, with {number} secret{'s' * (number > 1)}" if number else off)


async def _asked(name: str, question: Callable[[], Awaitable[object]], good: str, next_step: str = "") -> Check:
    try:
        await question()
    except Exception as error:  # noqa: BLE001  a doctor reports whatever is found
        return Check(name, ok=False, said=in_words(error), next_step=next_step)
    return Check(name, ok=True, said=good)


@asynccontextmanager
async def _connected(address: PostgresAddress) -> AsyncIterator[Driver]:
    connection = await Connector(address, statement_s=STATEMENT_S, session={"application_name": "eo doctor"})()
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S)


_REACH = "Is the server up, DATABASE_URL right, and pg_hba.conf open? `eo status` tells what runs here."
_STANDBY = "Bring a standby back, or change synchronous_standby_names; until then nothing is confirmed."
_SUM = "Raise max_connections, or run fewer processes, or lower EO_DB_POOL."
_REDIS = "Orders are accepted meanwhile and wait."
