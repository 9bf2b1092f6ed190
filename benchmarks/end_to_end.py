"""End to end: from POST to charged and booked, sustained, against the usual way and against the Stripe SDK alone."""

import itertools
from dataclasses import dataclass

from benchmarks import sdk
from benchmarks.flow import Flow, sustain
from benchmarks.load import Load
from benchmarks.machine import metered, peak_rss_mb
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, Stack, answer_of
from service.ops.installation import python
from service.ops.kinds import KINDS

SECONDS, NAIVE_SECONDS, SDK_SECONDS = 60.0, 15.0, 6.0
NAIVE = {
    "api": python("benchmarks.naive.app"),
    "worker": python("benchmarks.naive.worker"),
    "worker-2": python("benchmarks.naive.worker"),
}
OPEN_NAIVE = "SELECT count(*) FROM orders WHERE status = 'pending'"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Alone:
    """The rate that the SDK reached by itself, and its CPU."""

    rate: float
    cpu_us: dict[str, float]


def run(stack: Stack, *, seconds: float = SECONDS) -> Report:
    """Run SDK, naive, ours, naive, SDK, so that each rival is measured before and after ours."""
    report = Report("end to end")
    alone = [_sdk(stack)]
    usual = [naive(stack)]
    ours, memory = product(stack, seconds)
    usual.append(naive(stack))
    alone.append(_sdk(stack))
    report.ratios = [
        Ratio("orders/s against the usual way", [(ours.rate, n.rate) for n in usual], "/s", at_least=6),
        Ratio("orders/s against the Stripe SDK alone", [(ours.rate, a.rate) for a in alone], "/s", at_least=0.35),
        _sandbox_is_not_the_bound(ours),
        *memory_ratios(memory),
    ]
    report.cpu_us = {
        "order": ours.cpu_us,
        "order, the usual way": usual[-1].cpu_us,
        "call, SDK alone": alone[-1].cpu_us,
    }
    report.facts = {"orders paid and booked": ours.finished, "other processes' cores": ours.usage.others}
    return report


def product(stack: Stack, seconds: float, database: str = "") -> tuple[Flow, dict[str, float]]:
    """The product under sustained load, and the most memory each of its processes held."""
    database = database or stack.database(f"ours_{next(_numbers)}")
    with stack.running(database, *KINDS):
        load = Load(port=stack.port(), api_key=API_KEY, prefix=f"o{next(_numbers)}", seconds=seconds)
        flow = sustain(load, database, stack.pids)
        memory = {name: peak_rss_mb(pid) for name, pid in stack.pids(*KINDS).items()}
    return flow, memory


def naive(stack: Stack, seconds: float = NAIVE_SECONDS) -> Flow:
    """The usual way under the same load."""
    name = f"naive_{next(_numbers)}"
    stack.execute(f"CREATE DATABASE {name}")
    database = stack.postgres.database_url(name)
    with stack.running(database, instead=NAIVE):
        load = Load(port=stack.port(), api_key=API_KEY, prefix=name, seconds=seconds)
        return sustain(load, database, stack.pids, open_orders=OPEN_NAIVE)


def memory_ratios(memory: dict[str, float]) -> list[Ratio]:
    """Peak memory against what each process may take."""
    return [Ratio(f"{name}: peak RSS", [(mb, 1.0)], "MB", at_most=200) for name, mb in memory.items()]


def _sandbox_is_not_the_bound(flow: Flow) -> Ratio:
    cpu = flow.cpu_us
    return Ratio("sandbox's CPU per charge against the worker's", [(cpu["sandbox"], cpu["worker"])], "µs", at_most=1)


def _sdk(stack: Stack) -> Alone:
    question = sdk.Question(SDK_SECONDS, f"sdk-{next(_numbers)}")
    with metered(stack.pids("sandbox")) as usage:
        found = answer_of("benchmarks.sdk", question, sdk.Answered, within_s=SDK_SECONDS + 60, environ=stack.environ)
    cpu_us = {**usage.per_op_us(found.calls), "sdk": round(found.cpu_s / found.calls * 1e6, 1)}
    return Alone(found.calls / found.seconds, cpu_us)
