"""Duplicates: the cost of repeated messages and repeated requests, also calculated for ten million orders a day."""

import statistics
import time
from typing import Any

import redis

from benchmarks.door import Measured
from benchmarks.doubling import SHARE_KEY
from benchmarks.drain import drain
from benchmarks.load import Load
from benchmarks.machine import Usage, metered
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, Stack, generate
from service.foundation.broker_keys import CHARGE_QUEUE, NAMESPACE
from service.ops.installation import python
from workers.broker import charge_message, make_broker

ORDERS, ROUNDS, REPEATS, MESSAGE = 2_000, 20, 5, 64
SHARE = 0.15
DAY, A_DAY_S, AMOUNT = 10_000_000, 86_400, 19.99
WITHIN_S = 60.0


def run(stack: Stack) -> Report:
    """Unique orders with and without repeats in turns; then nothing but repeats."""
    database = stack.database("duplicates")
    client = redis.Redis.from_url(stack.redis.url)
    with stack.running(database, "worker", instead={"relay": python("benchmarks.doubling")}):
        drain(stack, database, 4_000, "warm")
        rates: dict[float, list[float]] = {0.0: [], SHARE: []}
        first: list[dict[str, float]] = []
        ids: list[str] = []
        for turn in range(ROUNDS):
            for share, found in sorted(rates.items(), reverse=bool(turn % 2)):
                client.set(SHARE_KEY, str(share))
                flow, ids = drain(stack, database, ORDERS, f"{share}-{turn}")
                found.append(flow.rate)
                first += [] if share else [flow.cpu_us]
        again = _absorb(stack, client, ids)
    report = Report("duplicates")
    report.cpu_us = {"first delivery": _median_of(first), "repeated delivery": again}
    report.cpu_us |= _at_the_door(stack)
    pairs = list(zip(rates[SHARE], rates[0.0], strict=True))
    report.ratios = [
        Ratio("unique orders/s at 15 % repeats against none", pairs, "/s", at_least=0.97),
        Ratio(
            "CPU of a repeat against a first delivery",
            [(_sum(again), _sum(report.cpu_us["first delivery"]))],
            "µs",
            at_most=0.1,
        ),
    ]
    report.facts["at 10 million orders a day"] = table(report.cpu_us)
    return report


def _absorb(stack: Stack, client: Any, ids: list[str]) -> dict[str, float]:
    """Deliver events again whose charges are done; returns the CPU in µs per event, by process."""
    broker = make_broker(stack.settings())
    messages = [ids[at : at + MESSAGE] for at in range(0, len(ids), MESSAGE)] * REPEATS
    with metered(stack.pids("worker", "postgres", "redis")) as usage:
        for message in messages:
            broker.enqueue(charge_message(message))
        until = time.monotonic() + WITHIN_S
        while client.hlen(f"{NAMESPACE}:{CHARGE_QUEUE}.msgs"):
            if time.monotonic() > until:
                raise RuntimeError("the repeats were not absorbed in time")
            time.sleep(0.02)
    broker.close()
    return usage.per_op_us(len(ids) * REPEATS)


def _at_the_door(stack: Stack) -> dict[str, dict[str, float]]:
    """The CPU in µs of a first POST and of its repeat, in one busy API process."""
    database = stack.database("duplicates_door")
    found = {}
    with stack.running(database, "api"):
        for what in ("first POST", "repeated POST"):
            load = Load(port=stack.port(), api_key=API_KEY, prefix="same", count=12_000, seconds=60, warm_s=0)
            with metered(stack.pids("api", "postgres")) as usage:
                outcome = generate(load)
            spent = Measured(outcome, Usage(usage.seconds, usage.cpu_s))
            found[what] = {n: round(s / spent.outcome.answered * 1e6, 1) for n, s in usage.cpu_s.items()}
    return found


def table(cpu_us: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """What matters at 10 million unique orders a day, for each share of repeats: half requests, half messages."""
    once = _sum(cpu_us["first POST"]) + _sum(cpu_us["first delivery"])
    repeat = (_sum(cpu_us["repeated POST"]) + _sum(cpu_us["repeated delivery"])) / 2
    rows = {}
    for share in (0.0, 0.0001, 0.05, 0.15):
        repeats = DAY * share
        rows[f"{share:.2%}"] = {
            "repeats a day": repeats,
            "charged twice": 0,
            "charged twice without keys, million $": round(repeats * AMOUNT / 1e6, 3),
            "CPU hours a day": round(DAY * once / 3.6e9 + repeats * repeat / 3.6e9, 3),
            "of them for repeats, s": round(repeats * repeat / 1e6, 1),
            "more than without repeats, %": round(share * repeat / once * 100, 3),
            "cores busy": round((DAY * once + repeats * repeat) / 1e6 / A_DAY_S, 3),
        }
    return rows


def _sum(cpu_us: dict[str, float]) -> float:
    return sum(cpu_us.values())


def _median_of(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(m[name] for m in measured), 1) for name in measured[0]}
