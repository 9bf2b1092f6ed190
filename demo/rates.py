"""Measures both contenders with duplicated messages and no other fault, for four shares of duplicates."""

import time
from dataclasses import dataclass

from demo.contenders import WORKERS, Contender
from demo.feeder import Feeder
from demo.plan import RATES, Plan
from demo.screen import Screen
from service.foundation.errors import Unavailable

_CALM_S = 60.0
_SETTLED_S = 0.8  # seconds; longer than the copy of a message may be late
_LATENCY = {"p50_ms": 5, "p99_ms": 20}
PER_DAY = 10_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender under one rate."""

    rate: float
    orders: int
    duplicates: int  # messages handed out twice
    twice: int  # orders charged more than once
    lost: int
    cpu_ms: float  # of all its processes and both servers, per order
    took_s: float


def measure(contender: Contender, plan: Plan, screen: Screen) -> list[Measured]:
    """Every rate, with two workers that nobody kills. The contender's servers and Stripe run on."""
    contender.world.control("DELETE", "faults")
    contender.world.control("POST", "latency", _LATENCY)
    for name in WORKERS:
        if not contender.world.parts[name].is_running:
            contender.start_worker(name)
    contender.world.await_ready(*WORKERS)
    _run(contender, first=1_000_000, count=20, rate=0.0)  # so that connections exist when the measurement begins
    found = []
    for n, rate in enumerate(RATES, start=2):
        found.append(_run(contender, first=n * 1_000_000, count=plan.rate_orders, rate=rate))
        last = found[-1]
        screen.say(
            f"{contender.title}: {100 * rate:g} % of messages twice: {last.duplicates} copies, "
            f"{last.twice} orders charged twice, {last.cpu_ms:.1f} ms CPU per order"
        )
    return found


def _run(contender: Contender, *, first: int, count: int, rate: float) -> Measured:
    contender.start_others(rate)
    contender.look()
    before = contender.score.duplicates
    cpu_s, began = contender.world.cpu_s(), time.monotonic()
    feeder = contender.feeder(first=first, count=count, over_s=0.001, requests_twice=0.0, messages_twice=rate)
    feeder.start()
    took_s = _until_quiet(contender, feeder) - began
    cpu_s = contender.world.cpu_s() - cpu_s
    contender.look()
    charged = {entry["order"]: entry["charges"] for entry in contender.world.truth()["orders"]}
    mine = [charged.get(order, 0) for order in feeder.accepted]
    return Measured(
        rate=rate,
        orders=len(mine),
        duplicates=contender.score.duplicates - before,
        twice=sum(charges > 1 for charges in mine),
        lost=sum(charges == 0 for charges in mine),
        cpu_ms=1000 * cpu_s / max(1, len(mine)),
        took_s=round(took_s, 2),
    )


def _until_quiet(contender: Contender, feeder: Feeder) -> float:
    """Wait until no message is left, late copies included; returns the time of the last change."""
    deadline = time.monotonic() + _CALM_S
    last = time.monotonic()
    while time.monotonic() - last < _SETTLED_S:
        if not feeder.is_done or not contender.is_quiet():
            last = time.monotonic()
        if time.monotonic() > deadline:
            raise Unavailable(f"{contender.title} was not quiet after {_CALM_S:.0f} s")
        time.sleep(0.1)
    return last
