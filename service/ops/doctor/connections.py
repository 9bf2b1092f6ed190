"""How many connections a fleet's processes need, and how many PostgreSQL allows their user."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.foundation.postgres import pools
from service.foundation.postgres.driver import Driver
from service.foundation.postgres.sql import Connection, Record, Statement
from service.foundation.settings import Settings


@dataclass(frozen=True, slots=True)
class Connections:
    """`needed` by all processes together, `available` to their user, `used_by_others`: held by other programs."""

    per_process: Mapping[str, int]
    processes: Mapping[str, int]
    needed: int
    available: int
    bound: str
    used_by_others: int

    @property
    def is_enough(self) -> bool:
        """Whether PostgreSQL has a connection for each, beside those that other programs hold."""
        return self.needed + self.used_by_others <= self.available

    def in_words(self) -> str:
        """The sum as one line: so many of each kind, times the connections of one process."""
        parts = [f"{n} {kind} × {self.per_process[kind]}" for kind, n in self.processes.items()]
        others = f", {self.used_by_others} held by others" if self.used_by_others else ""
        sum_ = f"{' + '.join(parts)} + {pools.COMMAND} for commands = {self.needed}"
        return f"{sum_}{others}, of {self.available} ({self.bound})"


class _Bounds(Record):
    """How many connections PostgreSQL, this database and this role may have; how many others hold some."""

    server: int
    database: int | None
    role: int | None
    others: int


# reserved_connections exists since PostgreSQL 16. A limit of -1 means no limit; superusers have neither of the two.
_BOUNDS = Statement("""
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0) AS server,
       (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()) AS database,
       (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user) AS role,
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
           AND application_name !~ '(^| )eo [a-z -]+$') AS others
""").returning(_Bounds)


async def add_up(connection: Driver, settings: Settings, processes: Mapping[str, int]) -> Connections:
    """Add up what these processes need, and find the smallest of PostgreSQL's limits."""
    per_process = pools.per_process(settings)
    row = await Connection(connection).one(_BOUNDS)
    bounds = {
        "max_connections, less those reserved for superusers": row.server,
        "the database's connection limit": row.database,
        "the user's connection limit": row.role,
    }
    bound, available = min(
        ((name, value) for name, value in bounds.items() if value is not None), key=lambda pair: pair[1]
    )
    needed = sum(n * per_process[kind] for kind, n in processes.items()) + pools.COMMAND
    return Connections(per_process, processes, needed, available, bound, row.others)
