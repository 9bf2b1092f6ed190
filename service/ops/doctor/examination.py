"""The checks of `eo doctor`, in the order in which an order meets what they check. No check changes anything."""

import os
from collections.abc import Mapping

from service.foundation.addresses.postgres import PostgresAddress, postgres_address
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.driver import in_words
from service.foundation.settings import Settings
from service.ops.doctor import host, keys, postgres, redis
from service.ops.doctor.check import Check
from service.ops.doctor.connections import Connections


async def examine(settings: Settings, processes: Mapping[str, int]) -> tuple[list[Check], Connections | None]:
    """Run every check; returns them with the sum of connections, which needs PostgreSQL. Raises Misconfigured."""
    from service.ops.doctor import stripe  # noqa: PLC0415  the SDK costs half a second, `--help` needs none

    address = postgres_address(settings.database_url)
    checks = [await postgres.host(address, dsn) for dsn in address.dsns]
    sum_: Connections | None = None
    if any(check.ok for check in checks):
        found, sum_ = await _of_postgres(settings, address, processes)
        checks += found
    checks += await redis.checks(settings)
    checks += await stripe.checks(settings)
    return checks + host.checks(settings, os.environ), sum_


async def _of_postgres(
    settings: Settings, address: PostgresAddress, processes: Mapping[str, int]
) -> tuple[list[Check], Connections | None]:
    engine = create_engine(settings, name="doctor", pool=1)
    try:
        found, sum_ = await postgres.checks(engine, settings, address, processes)
        try:
            found += [*await postgres.of_the_rows(engine), await keys.check(engine)]
        except Exception as error:  # noqa: BLE001  the check of the schema has said what to do
            found.append(Check("rows", ok=False, said=in_words(error), next_step="`eo migrate`"))
    finally:
        await close(engine)
    return found, sum_
