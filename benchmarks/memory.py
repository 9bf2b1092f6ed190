"""Memory: the peak memory of each process under the load of the end-to-end run, in a shorter run."""

from benchmarks.end_to_end import memory_ratios, product
from benchmarks.report import Report
from benchmarks.stack import Stack


def run(stack: Stack, *, seconds: float = 10.0) -> Report:
    """Peak resident set of each process."""
    flow, memory = product(stack, seconds)
    return Report("memory", ratios=memory_ratios(memory), facts={"orders/s meanwhile": round(flow.rate)})
