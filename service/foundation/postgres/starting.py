"""What api, relay and worker refuse to start on: a database that forgets, another schema, a shared session."""

import secrets

from service.foundation.errors import Misconfigured
from service.foundation.postgres import migrate
from service.foundation.postgres.db import (
    as_unavailable,
    close,
    connector_of,
    create_engine,
    is_unreachable,
)
from service.foundation.postgres.driver import Driver
from service.foundation.postgres.durability import check_durable
from service.foundation.settings import Settings

_ROUNDS = 3  # a busy pooler may give the same server connection again by chance


async def check_start(settings: Settings) -> None:
    """Return where PostgreSQL can be worked with. Raises Misconfigured or Unavailable."""
    engine = create_engine(settings, name="start", pool=1)
    try:
        connector = connector_of(engine)
        await refuse_shared_sessions(await connector(), await connector())
        await check_durable(engine)
        await migrate.check(engine)
    except Exception as error:
        if not is_unreachable(error):
            raise
        raise as_unavailable(error) from error
    finally:
        await close(engine)


async def refuse_shared_sessions(one: Driver, other: Driver) -> None:
    """Two connections must be two sessions: settings made on one must stay there, and stay (R4, R34).

    Asked by the simple protocol, because prepared statements are the first thing that such a pooler breaks.
    """
    for _ in range(_ROUNDS):
        names = {connection: secrets.token_hex(8) for connection in (one, other)}
        for connection, name in names.items():
            await connection.execute(f"SELECT set_config('eo.session', '{name}', false)")
        for connection, name in names.items():
            found = await connection.execute(f"SELECT FROM now() WHERE current_setting('eo.session', true) = '{name}'")
            if found != "SELECT 1":
                raise Misconfigured(
                    "DATABASE_URL leads to a pooler that lends its server connections per transaction (PgBouncer: "
                    "pool_mode = transaction or statement), so that no session keeps its settings. "
                    "Set pool_mode = session, or name PostgreSQL itself."
                )
