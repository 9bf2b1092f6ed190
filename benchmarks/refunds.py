"""Refunds beside orders: each from POST to booked, under full load, in turns on one database."""

import itertools
from dataclasses import dataclass

from benchmarks.flow import Flow, sustain
from benchmarks.load import Load
from benchmarks.machine import Usage
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, Stack
from service.ops.kinds import KINDS

ROUNDS, ORDERS_S = 3, 16.0
SHARE = 0.75  # of the orders' time, so that refunds do not run out of orders where they are faster
_PAID = "SELECT id::text FROM orders WHERE status = 'paid' AND amount_refunded_minor = 0 ORDER BY md5(id::text)"
_LEFT = """
SELECT (SELECT count(*) FROM refunds WHERE status <> 'succeeded') AS unfinished,
       (SELECT count(*) FROM refunds) - (SELECT count(*) FROM journal_entries WHERE kind = 'refund') AS unbooked
"""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Round:
    """Orders under load, then a refund of each of them."""

    orders: Flow
    refunds: Flow


def run(stack: Stack, *, rounds: int = ROUNDS, seconds: float = ORDERS_S) -> Report:
    """Place orders until they are paid and booked, give each of them back, and again."""
    database = stack.database("refunds")
    with stack.running(database, *KINDS):
        found = [_round(stack, database, seconds) for _ in range(rounds)]
    report = Report("refunds")
    report.ratios = [
        Ratio("refunds/s against orders/s", [(r.refunds.rate, r.orders.rate) for r in found], "/s", at_least=0.8),
        Ratio("CPU of a refund against an order's", [(_cpu(r.refunds), _cpu(r.orders)) for r in found], "µs"),
    ]
    report.cpu_us = {"order": _median(found, refunds=False), "refund": _median(found, refunds=True)}
    report.facts = {"refunds given back and booked": sum(r.refunds.finished for r in found)}
    return report


def _round(stack: Stack, database: str, seconds: float) -> Round:
    orders = sustain(_load(stack, seconds), database, stack.pids)
    paid = [row["id"] for row in stack.rows(database, _PAID)]
    wanted = Load(
        port=stack.port(),
        api_key=API_KEY,
        prefix=f"r{next(_numbers)}",
        path="/v1/orders/{}/refunds",
        body='{"amount":1999,"reason":"requested_by_customer"}',
        of=paid,
        seconds=seconds * SHARE,
    )
    refunds = sustain(wanted, database, stack.pids)
    (left,) = stack.rows(database, _LEFT)
    if left["unfinished"] or left["unbooked"]:
        raise RuntimeError(f"{left['unfinished']} refunds are not given back, {left['unbooked']} not booked")
    return Round(orders, refunds)


def _load(stack: Stack, seconds: float) -> Load:
    return Load(port=stack.port(), api_key=API_KEY, prefix=f"o{next(_numbers)}", seconds=seconds)


def _cpu(flow: Flow) -> float:
    """Of all processes but the one that asks."""
    return sum(spent for name, spent in flow.cpu_us.items() if name != "generator")


def _median(found: list[Round], *, refunds: bool) -> dict[str, float]:
    spent = Usage(1.0)
    flows = [r.refunds if refunds else r.orders for r in found]
    for flow in flows:
        for name, seconds in flow.usage.cpu_s.items():
            spent.cpu_s[name] = spent.cpu_s.get(name, 0.0) + seconds
    return spent.per_op_us(sum(flow.finished for flow in flows))
