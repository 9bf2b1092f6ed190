"""What the database and Redis know, as gauges: of the whole installation, whichever API process is asked.

Each API process reads them, at most every five seconds, and only when it is asked: were they a relay's, they would be
gone when the relays are, which is when they are needed. So several processes show the same: sum up none of them.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import duplicates, ledger
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.sql import Record, Statement, connect
from service.monitoring.probes import broker_state
from service.notices import waiting
from service.outbox import backlog
from service.recovery import is_verified
from service.sweeps import ages

CACHED_S, BOOKS_CACHED_S = 5.0, 60.0
COUNTED_MAX = 100_000
_PATIENCE_S = 3.0
_PARTS = ("api", "relay", "worker")

Values = Mapping[tuple[str, ...], float]


class Gauge(NamedTuple):
    """One metric of this module: its name without `eo_`, its help, its labels, and whether it only grows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False

    def family(self, values: Values) -> Metric:
        """With its values, by those of its labels."""
        make = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        family = make(f"eo_{self.name}", self.help, labels=self.labels)
        for labels, value in values.items():
            family.add_metric(labels, value)
        return family


GAUGES: Mapping[str, Gauge] = {
    one.name: one
    for one in (
        Gauge("postgres_up", "1: the gauges of the database could be read."),
        Gauge("redis_up", "1: the gauges of Redis could be read."),
        Gauge("postgres_durable", "1: the setting of PostgreSQL keeps what is committed.", ("setting",)),
        Gauge("outbox_pending", f"Effects that are owed; counted up to {COUNTED_MAX}."),
        Gauge("outbox_parked", f"Rows that wait for a human; counted up to {COUNTED_MAX}."),
        Gauge("outbox_due_seconds", "For how long the row that is due longest has been due."),
        Gauge("outbox_oldest_age_seconds", "Age of the oldest row; one that waits for a customer or a bank counts."),
        Gauge("duplicates_absorbed", "Duplicates that a guard of the fleet absorbed.", ("guard",), is_counter=True),
        Gauge("ledger_imbalance_minor_units", "Debits less credits of the books: 0.", ("currency",)),
        Gauge("discrepancies_open", "Differences that eo reconcile has found and nobody has acknowledged.", ("class",)),
        Gauge("discrepancies_acknowledged", "Differences that somebody has accepted as they are.", ("class",)),
        Gauge(
            "reconciliation_last_complete_timestamp_seconds", "When a run of eo reconcile last read all of a window."
        ),
        Gauge("balance_movements_in_suspense", "Movements of Stripe's balance that nothing explains."),
        Gauge("inbox_unsettled", f"Stripe's events that are to be looked at; counted up to {COUNTED_MAX}."),
        Gauge("inbox_oldest_age_seconds", "Age of the oldest of these."),
        Gauge("notices_pending", f"Notices that are to be sent; counted up to {COUNTED_MAX}."),
        Gauge("notices_parked", f"Notices that nobody took for three days; counted up to {COUNTED_MAX}."),
        Gauge("notices_oldest_age_seconds", "Age of the oldest pending notice."),
        Gauge("sweep_age_seconds", "Since a list of Stripe's was last read to its end.", ("list",)),
        Gauge("life_verified", "1: Stripe was asked what this database may have forgotten, so orders may be sent."),
        Gauge("api_keys_ending_soon", "API keys that end within seven days."),
        Gauge("breaker_open", "1: nothing is sent to Stripe."),
        Gauge("stripe_unanswered", "1: nothing comes back from Stripe."),
        Gauge("processes_alive", "Processes that have moved within ten seconds.", ("part",)),
    )
}


class _Known(Record):
    """One row of everything that has no reader of its own. Ages are 0 where nothing waits."""

    fsync: bool
    full_page_writes: bool
    synchronous_commit: bool
    reconciled_at: float
    suspense: int
    unsettled: int
    unsettled_s: float
    keys_ending: int


_KNOWN = Statement("""
SELECT current_setting('fsync') <> 'off' AS fsync, current_setting('full_page_writes') <> 'off' AS full_page_writes,
       current_setting('synchronous_commit') <> 'off' AS synchronous_commit,
       coalesce(extract(epoch FROM (SELECT max(finished_at) FROM reconciliation_runs
         WHERE verdict IN ('clean', 'discrepancies'))), 0)::float8 AS reconciled_at,
       (SELECT count(*) FROM balance_transactions WHERE status = 'suspense') AS suspense,
       (SELECT count(*) FROM (SELECT FROM stripe_events WHERE settled_at IS NULL LIMIT :most) AS e) AS unsettled,
       coalesce(extract(epoch FROM now() - (SELECT min(received_at) FROM stripe_events WHERE settled_at IS NULL)),
                0)::float8 AS unsettled_s,
       (SELECT count(*) FROM api_keys
         WHERE revoked_at IS NULL AND expires_at BETWEEN now() AND now() + interval '7 days') AS keys_ending
""").returning(_Known)


class _Open(Record):
    """How many differences of a class are open and acknowledged."""

    name: str
    open: int
    acknowledged: int


_OPEN = Statement("""
SELECT d.class AS name, count(*) FILTER (WHERE NOT d.is_acknowledged) AS open,
       count(*) FILTER (WHERE d.is_acknowledged) AS acknowledged
  FROM (
    SELECT d.class, EXISTS (
        SELECT FROM acknowledgements a
         WHERE a.fingerprint = d.fingerprint AND a.created_at >= d.opened_at
           AND (a.amount_minor, a.ours, a.stripe) IS NOT DISTINCT FROM (d.amount_minor, d.ours, d.stripe)
      ) AS is_acknowledged
      FROM discrepancies d WHERE d.resolved_at IS NULL) AS d
 GROUP BY d.class ORDER BY d.class
""").returning(_Open)


@dataclass(slots=True)
class _Read:
    """Values by the name of their gauge, and when they were read (time.monotonic)."""

    values: dict[str, Values]
    at: float = float("-inf")


class Gauges:
    """The gauges of one API process. It lives in one event loop; `collect` may be called from any thread."""

    def __init__(self, engine: AsyncEngine, redis: Redis | None, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._redis = redis
        self._clock = clock
        self._now = _Read({})
        self._books = _Read({})
        self._reading: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read anew what is older than its bound. Who comes meanwhile waits for the same look. It raises nothing."""
        if self._clock() - self._now.at < CACHED_S:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    def collect(self) -> Iterator[Metric]:
        """As they were read last; none that could not be read."""
        for name, values in (self._now.values | self._books.values).items():
            yield GAUGES[name].family(values)

    async def _read(self) -> None:
        database, broker = await asyncio.gather(self._of_database(), self._of_redis())
        self._now = _Read(database | broker, self._clock())

    async def _of_database(self) -> dict[str, Values]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._clock() - self._books.at >= BOOKS_CACHED_S:
                    self._books = _Read(await _of_books(self._engine), self._clock())
                return {"postgres_up": {(): 1.0}, **await _of_database(self._engine)}
        except Exception as error:  # noqa: BLE001  what cannot be read is told as such
            if not is_unreachable(error):
                log.event(Event.METRICS_FAILED, **log.of_error(error))
            self._books = _Read({})
            return {"postgres_up": {(): 0.0}}

    async def _of_redis(self) -> dict[str, Values]:
        if self._redis is None:
            return {}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await broker_state(self._redis)
        except (RedisError, OSError, TimeoutError):
            return {"redis_up": {(): 0.0}}
        alive = [beat.process.part for beat in found.beats if beat.is_alive]
        return {
            "redis_up": {(): 1.0},
            "breaker_open": {(): float(found.standstill is not None)},
            "stripe_unanswered": {(): float(found.unanswered is not None)},
            "processes_alive": {(part,): float(alive.count(part)) for part in _PARTS},
        }


async def _of_books(engine: AsyncEngine) -> dict[str, Values]:
    imbalance = await ledger.imbalance(engine)
    return {"ledger_imbalance_minor_units": {(currency,): float(minor) for currency, minor in imbalance.items()}}


async def _of_database(engine: AsyncEngine) -> dict[str, Values]:
    async with connect(engine) as connection:
        known = await connection.one(_KNOWN, {"most": COUNTED_MAX})
        differences = await connection.rows(_OPEN)
    outbox, notices = await backlog(engine, COUNTED_MAX), await waiting(engine, COUNTED_MAX)
    swept, verified, absorbed = await ages(engine), await is_verified(engine), await duplicates.totals(engine)
    single = {
        "outbox_pending": outbox.waiting,
        "outbox_parked": outbox.parked,
        "outbox_due_seconds": max(0.0, outbox.due_s),
        "outbox_oldest_age_seconds": max(0.0, outbox.oldest_s),
        "reconciliation_last_complete_timestamp_seconds": known.reconciled_at,
        "balance_movements_in_suspense": known.suspense,
        "inbox_unsettled": known.unsettled,
        "inbox_oldest_age_seconds": known.unsettled_s,
        "notices_pending": notices.waiting,
        "notices_parked": notices.parked,
        "notices_oldest_age_seconds": max(0.0, notices.oldest_s),
        "life_verified": verified,
        "api_keys_ending_soon": known.keys_ending,
    }
    labelled: dict[str, Values] = {
        "postgres_durable": {
            ("fsync",): float(known.fsync),
            ("full_page_writes",): float(known.full_page_writes),
            ("synchronous_commit",): float(known.synchronous_commit),
        },
        "duplicates_absorbed": {(guard,): float(times) for guard, times in absorbed.items()},
        "discrepancies_open": {(row.name,): float(row.open) for row in differences},
        "discrepancies_acknowledged": {(row.name,): float(row.acknowledged) for row in differences},
        "sweep_age_seconds": {(name,): age_s for name, age_s in swept.items()},
    }
    return labelled | {name: {(): float(value)} for name, value in single.items()}
