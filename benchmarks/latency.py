"""Latency from POST to `paid` at a fixed rate: a tenth of the top rate, against the straight line and the usual way.

It counts from the moment a request was due, at the client, to the commit that made the order paid, which PostgreSQL
itself tells (`track_commit_timestamp`). So nobody is asked meanwhile, and a stall is not hidden.
"""

import itertools
import time

from benchmarks import straight
from benchmarks.end_to_end import NAIVE, product
from benchmarks.load import Load, key
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, Stack, answer_of, generate
from service.ops.kinds import KINDS

SECONDS, TOP_SECONDS, ROUNDS = 8.0, 5.0, 3
WITHIN_S = 60.0
_PAID = """
SELECT idempotency_key AS key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at
  FROM orders WHERE status = 'paid' AND idempotency_key LIKE '%-' || $1
"""
_numbers = itertools.count(1)


def run(stack: Stack, *, seconds: float = SECONDS) -> Report:
    """In turns; each way has its own processes and its own database."""
    ours, line, usual = stack.database("latency"), stack.database("straight"), "latency_naive"
    stack.execute(f"CREATE DATABASE {usual}")
    rate = product(stack, TOP_SECONDS, ours)[0].rate / 10
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "straight line": [], "usual way": []}
    for _ in range(ROUNDS):
        found["straight line"].append(_straight(stack, line, rate, seconds))
        found["ours"].append(_ours(stack, ours, rate, seconds))
    for _ in range(ROUNDS - 1):
        found["usual way"].append(_naive(stack, stack.postgres.database_url(usual), rate, seconds))
    report = Report("latency", facts={f"{way}: p50, p99 in ms at {rate:.0f}/s": both for way, both in found.items()})
    compared = [(a, b) for a in found["ours"] for b in found["usual way"]]
    report.ratios = [
        Ratio("POST to paid, p50 against the straight line", _pairs(found, 0), "ms", at_most=4),
        Ratio("POST to paid, p99 against the straight line", _pairs(found, 1), "ms", at_most=8),
        Ratio("POST to paid, p50 against the usual way", [(a[0], b[0]) for a, b in compared], "ms", at_most=0.5),
    ]
    return report


def _pairs(found: dict[str, list[tuple[float, float]]], which: int) -> list[tuple[float, float]]:
    return [(a[which], b[which]) for a, b in zip(found["ours"], found["straight line"], strict=True)]


def _ours(stack: Stack, database: str, rate: float, seconds: float) -> tuple[float, float]:
    with stack.running(database, *KINDS):
        return _load(stack, database, stack.port(), rate, seconds)


def _naive(stack: Stack, database: str, rate: float, seconds: float) -> tuple[float, float]:
    with stack.running(database, instead=NAIVE):
        return _load(stack, database, stack.port(), rate, seconds)


def _load(stack: Stack, database: str, port: int, rate: float, seconds: float) -> tuple[float, float]:
    # A few orders first, which make the connections and prepare the statements.
    first = f"w{next(_numbers)}"
    generate(Load(port=port, api_key=API_KEY, prefix=first, rate=rate, count=50, seconds=5, connections=64))
    _paid(stack, database, first, 50)
    prefix = f"l{next(_numbers)}"
    load = Load(
        port=port, api_key=API_KEY, prefix=prefix, rate=rate, seconds=seconds, warm_s=0, connections=64, record=True
    )
    return _percentiles(stack, database, prefix, generate(load).due)


def _straight(stack: Stack, database: str, rate: float, seconds: float) -> tuple[float, float]:
    environ = {**stack.environ, "DATABASE_URL": database}
    answers = []
    for length in (0.5, seconds):
        question = straight.Question(rate, length, f"s{next(_numbers)}")
        found = answer_of("benchmarks.straight", question, straight.Answered, within_s=length + 60, environ=environ)
        answers.append(_percentiles(stack, database, question.prefix, found.due))
    return answers[-1]


def _percentiles(stack: Stack, database: str, prefix: str, due: list[float]) -> tuple[float, float]:
    paid = _paid(stack, database, prefix, len(due))
    took = sorted(paid[key(prefix, number)] - at for number, at in enumerate(due))
    return round(took[len(took) // 2] * 1000, 2), round(took[int(len(took) * 0.99)] * 1000, 2)


def _paid(stack: Stack, database: str, prefix: str, wanted: int) -> dict[str, float]:
    """When each order became paid; waits until all are."""
    until = time.monotonic() + WITHIN_S
    while len(rows := stack.rows(database, _PAID, prefix)) < wanted:
        if time.monotonic() > until:
            raise RuntimeError(f"{wanted - len(rows)} orders were not paid within {WITHIN_S:.0f} s")
        time.sleep(0.2)
    return {row["key"]: row["at"] for row in rows}
