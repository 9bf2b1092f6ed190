"""PostgreSQL: its hosts, what it keeps, its schema, its connections, its clock, its vacuum, and what waits in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.addresses.postgres import PostgresAddress
from service.foundation.deadlines import CONNECT_S, PROBE_S, STATEMENT_S
from service.foundation.errors import EffectivelyOnceError
from service.foundation.postgres import migrate
from service.foundation.postgres.driver import Connector, Driver, host_of
from service.foundation.postgres.durability import check_durable
from service.foundation.postgres.sql import Connection, Record, Statement, connect
from service.foundation.postgres.starting import refuse_shared_sessions
from service.foundation.settings import Settings
from service.monitoring import probes
from service.ops.doctor.check import Check, asked, clock, judged
from service.ops.doctor.connections import Connections, add_up
from service.ops.status_text import span
from service.outbox.reading import backlog

DEAD_ROWS_MAX = 200_000  # of the outbox, beside as many as are alive; vacuum comes at a fifth of what is alive
LATE_S = 300.0  # as the alert EoPromisesLate
_DAY_S = 86_400.0


class _Now(Record):
    now: float


class _Standby(Record):
    is_waited_for: bool


class _Vacuum(Record):
    is_on: bool
    alive: int
    dead: int


class _Reconciled(Record):
    """Seconds since a run of `eo reconcile` read all of its window, and since this installation was made."""

    ago_s: float | None
    installed_s: float


_NOW = Statement("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").returning(_Now)
_WAITING_FOR_STANDBY = Statement("""
SELECT current_setting('synchronous_standby_names') <> ''
   AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS is_waited_for
""").returning(_Standby)
_VACUUM = Statement("""
SELECT current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean
   AND NOT coalesce('autovacuum_enabled=false' = ANY(c.reloptions), false) AS is_on,
       s.n_live_tup AS alive, s.n_dead_tup AS dead
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.relid = 'outbox'::regclass
""").returning(_Vacuum)
_RECONCILED = Statement("""
SELECT extract(epoch FROM now() - (SELECT max(finished_at) FROM reconciliation_runs
         WHERE verdict IN ('clean', 'discrepancies')))::float8 AS ago_s,
       extract(epoch FROM now() - created_at)::float8 AS installed_s FROM instance
""").returning(_Reconciled)


async def host(address: PostgresAddress, dsn: str) -> Check:
    """Whether this host answers."""
    name = f"postgres {host_of(dsn)}"
    try:
        async with _connected(replace(address, dsns=(dsn,))) as connection:
            version = connection.get_settings().server_version  # as the server spells it: 18.4, 15.18 (Debian …)
            return Check(name, ok=True, said=f"answers, PostgreSQL {version.partition(' ')[0]}")
    except EffectivelyOnceError as error:
        return Check(name, ok=False, said=str(error).replace(" `eo doctor` tells more.", ""), next_step=_REACH)


async def checks(
    engine: AsyncEngine, settings: Settings, address: PostgresAddress, processes: Mapping[str, int]
) -> tuple[list[Check], Connections]:
    """All of the server, with the sum of connections."""
    found = [
        await asked("sessions", lambda: _sessions(address), "are our own"),
        await asked("durability", lambda: check_durable(engine), "what is committed is kept"),
        await asked("schema", lambda: migrate.check(engine), f"at {migrate.head()}"),
        await _writes(engine),
    ]
    async with _connected(address) as connection:
        sum_ = await add_up(connection, settings, processes)
        waits = (await Connection(connection).one(_WAITING_FOR_STANDBY)).is_waited_for
    standby = "every COMMIT waits for a synchronous standby, and none is connected" if waits else ""
    return [
        *found,
        judged("standby", "nobody is waited for", standby, _STANDBY),
        judged("connections", sum_.in_words(), "" if sum_.is_enough else sum_.in_words(), _SUM),
        await clock("postgres", lambda: _now(engine)),
    ], sum_


async def of_the_rows(engine: AsyncEngine) -> list[Check]:
    """What the tables tell of vacuum, of late promises and of the last reconciliation."""
    async with connect(engine) as connection:
        vacuum, reconciled = await connection.one(_VACUUM), await connection.one(_RECONCILED)
    late_s = (await backlog(engine, 1)).due_s
    late = f"a promise has been due for {span(late_s)}" if late_s > LATE_S else ""
    return [
        judged("autovacuum", f"is on; {vacuum.dead:,} dead rows in the outbox", *_of_vacuum(vacuum)),
        judged("backlog", f"no promise has been due for more than {span(LATE_S)}", late, _LATE),
        _of_reconciliation(reconciled),
    ]


def _of_vacuum(found: _Vacuum) -> tuple[str, str]:
    """What is wrong with it, and the next step."""
    if not found.is_on:
        return "is off for the outbox, which grows without end and gets slow", _VACUUM_OFF
    if found.dead > DEAD_ROWS_MAX + found.alive:
        return f"{found.dead:,} dead rows in the outbox beside {found.alive:,}: vacuum cannot keep up", _VACUUM_SLOW
    return "", ""


def _of_reconciliation(found: _Reconciled) -> Check:
    if found.ago_s is None:
        late = f"was not run in the {span(found.installed_s)} since the installation"
        wrong = late if found.installed_s > _DAY_S else ""
        return judged("reconciliation", "was not run yet; the installation is new", wrong, _RECONCILE)
    said = f"was last run to its end {span(found.ago_s)} ago"
    return judged("reconciliation", said, said if found.ago_s > _DAY_S else "", _RECONCILE)


async def _now(engine: AsyncEngine) -> float:
    async with connect(engine) as connection:
        return (await connection.one(_NOW)).now


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
_VACUUM_OFF = "Reset autovacuum_enabled of the table, and set autovacuum = on, track_counts = on."
_VACUUM_SLOW = "Which transaction is old? `SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start`."
_LATE = "`eo status` shows who does not move, `eo outbox list` what waits."
_RECONCILE = "`eo reconcile`; let cron run it every day."
