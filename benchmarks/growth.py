"""Growth: compares the costs with ten million stored orders to those of an empty database.

`python -m benchmarks.growth [--stored N] [--through N] [--backlog N]`: an empty database and a full one in turns, then
a million orders through the full one, to see what stays behind in the outbox.
"""

import argparse
import sys
import time

import uvloop

from benchmarks import door, history, machine, report
from benchmarks.door import Bench, Measured
from benchmarks.drain import drain
from benchmarks.end_to_end import product
from benchmarks.report import Ratio, Report
from benchmarks.stack import Stack
from service.foundation.postgres.db import create_engine
from service.ledger import balances, rollup

ROUNDS, SMALL = 3, 2_000
SLOWER = 1.2  # orders of about a quarter of an hour, so that autovacuum runs meanwhile as it would in production
_SIZES = """
SELECT relname AS name, pg_total_relation_size(oid) / 1e6 AS mb, pg_indexes_size(oid) / 1e6 AS indexes_mb
  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_total_relation_size(oid) > 1e6
"""
_HOT = """
SELECT relname AS name, n_tup_upd AS updates, n_tup_hot_upd AS hot, n_dead_tup AS dead, autovacuum_count AS vacuums
  FROM pg_stat_user_tables WHERE relname IN ('orders', 'charges', 'outbox')
"""


class Growth:
    """An empty database and a full one on the same server."""

    def __init__(self, stack: Stack, stored: int) -> None:
        self.stack = stack
        self.report = Report("growth")
        began = time.monotonic()
        self.empty, self.full = stack.database("growth_empty"), stack.database("growth_full")
        history.store(self.full, stored)
        self._roll()
        self.report.facts |= {"orders stored": stored, "stored within, s": round(time.monotonic() - began)}
        self._sizes("size when stored, MB")

    def door(self) -> None:
        """Accepting, in turns."""
        pairs = []
        for _ in range(ROUNDS):
            full, empty = (self._door(database) for database in (self.full, self.empty))
            pairs.append((full.outcome.rate, empty.outcome.rate))
            self.report.cpu_us |= {"POST, full": full.cpu_us, "POST, empty": empty.cpu_us}
        self._ratio(Ratio("door, full against empty", pairs, "/s", at_least=0.9))
        for database in (self.full, self.empty):  # no worker ran, so the accepted orders are deleted
            self.stack.execute("TRUNCATE outbox", database)

    def end_to_end(self, seconds: float) -> None:
        """From POST to booked, in turns."""
        pairs = []
        for _ in range(ROUNDS):
            full, empty = (product(self.stack, seconds, database)[0] for database in (self.full, self.empty))
            pairs.append((full.rate, empty.rate))
            self.report.cpu_us |= {"order, full": full.cpu_us, "order, empty": empty.cpu_us}
        self._ratio(Ratio("orders/s, full against empty", pairs, "/s", at_least=0.9))

    def balance(self) -> None:
        """A balance read, rolled up as the relay keeps it."""
        self._roll()
        pairs = [(self._balance_ms(self.full), self._balance_ms(self.empty)) for _ in range(ROUNDS)]
        self._ratio(Ratio("balance read, full against empty", pairs, "ms", at_most=2))

    def backlog(self, orders: int) -> None:
        """A long backlog drains as fast as short ones before and after it."""
        with self.stack.running(self.empty, "worker", "relay"):
            drain(self.stack, self.empty, SMALL, "warm")
            before = [drain(self.stack, self.empty, SMALL, f"before-{n}")[0] for n in range(ROUNDS)]
            long, _ = drain(self.stack, self.empty, orders, "long")
            after = [drain(self.stack, self.empty, SMALL, f"after-{n}")[0] for n in range(ROUNDS)]
        pairs = [(long.rate, short.rate) for short in (*before, *after)]
        self._ratio(Ratio(f"drain of {orders:,} against {SMALL:,}", pairs, "/s", at_least=0.95))
        self.report.cpu_us |= {"order of the long backlog": long.cpu_us, "order of a short one": after[-1].cpu_us}

    def through(self, orders: int, rate: float) -> None:
        """Charge so many orders in the full database; then measure the size of the outbox."""
        flow, _ = product(self.stack, orders / rate * SLOWER, self.full)
        size = self.stack.rows(self.full, "SELECT pg_total_relation_size('outbox') / 1e6 AS mb")[0]["mb"]
        self._ratio(Ratio(f"outbox after {flow.finished:,} orders", [(float(size), 1.0)], "MB", at_most=50))
        self.report.facts |= {"orders through": flow.finished, "at orders/s": round(flow.rate)}
        self._sizes("size afterwards, MB")
        for row in self.stack.rows(self.full, _HOT):
            self.report.facts[f"{row['name']}: rows updated, hot, dead, vacuums"] = list(row.values())[1:]

    def _door(self, database: str) -> Measured:
        with self.stack.running(database, instead={"api": door.RIVALS}):
            bench = Bench(self.stack)
            bench.load("door", seconds=1.0, connections=door.CONNECTIONS)
            return bench.load("door", seconds=5.0, connections=door.CONNECTIONS)

    def _balance_ms(self, database: str) -> float:
        async def read() -> float:
            engine = create_engine(self.stack.settings(DATABASE_URL=database), name="balance")
            taken = []
            for _ in range(21):
                began = time.perf_counter()
                await balances(engine)
                taken.append((time.perf_counter() - began) * 1000)
            await engine.dispose()
            return sorted(taken)[len(taken) // 2]

        return uvloop.run(read())

    def _roll(self) -> None:
        async def roll() -> None:
            for database in (self.full, self.empty):
                engine = create_engine(self.stack.settings(DATABASE_URL=database), name="rollup")
                await rollup(engine)
                await engine.dispose()

        uvloop.run(roll())

    def _sizes(self, what: str) -> None:
        rows = self.stack.rows(self.full, _SIZES)
        self.report.facts[what] = {row["name"]: [round(row["mb"]), round(row["indexes_mb"])] for row in rows}

    def _ratio(self, ratio: Ratio) -> None:
        self.report.ratios.append(ratio)
        print(f"  {ratio.name}: {ratio.value:.2f}", flush=True)


def main() -> None:
    """Run it all; the sizes may be made smaller to try it."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth")
    parser.add_argument("--stored", type=int, default=10_000_000, help="orders in the full database")
    parser.add_argument("--through", type=int, default=1_000_000, help="orders that then pass through it")
    parser.add_argument("--backlog", type=int, default=200_000, help="orders that wait at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each end-to-end measurement")
    options = parser.parse_args()
    began = time.monotonic()
    with Stack() as stack:
        found = machine.facts(stack.folder)
        growth = Growth(stack, options.stored)
        growth.door()
        growth.end_to_end(options.seconds)
        growth.balance()
        growth.backlog(options.backlog)
        growth.through(options.through, rate=max(a for a, _ in growth.report.ratios[1].pairs))
    growth.report.seconds = round(time.monotonic() - began, 1)
    report.show(growth.report)
    path = report.write([growth.report], found, "growth")
    print(f"\nwritten to {path}")
    sys.exit(0 if all(ratio.is_met for ratio in growth.report.ratios) else 1)


if __name__ == "__main__":
    main()
