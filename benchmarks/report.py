"""A ratio, its target, the table a person reads and the JSON a program reads."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
REFERENCE = "reference"  # the one run that is kept in the repository


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two measurements of one run and their target. `pairs` are alternating measurements; their median counts."""

    name: str
    pairs: Sequence[tuple[float, float]]
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median over the pairs of the first measurement divided by the second."""
        return statistics.median(a / b if b else 0.0 for a, b in self.pairs)

    @property
    def is_met(self) -> bool:
        """Whether the target holds; true where there is none."""
        least, most = self.at_least, self.at_most
        return (least is None or self.value >= least) and (most is None or self.value <= most)

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""


@dataclass(slots=True)
class Report:
    """The result of one benchmark: ratios, CPU per operation by process, and further numbers."""

    name: str
    ratios: list[Ratio] = field(default_factory=list)
    cpu_us: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def show(report: Report) -> None:
    """Print one report as a table."""
    print(f"\n{report.name}  ({report.seconds:.0f} s)")
    for ratio in report.ratios:
        a, b = (statistics.median(side) for side in zip(*ratio.pairs, strict=True))
        mark = "" if not ratio.target else "ok" if ratio.is_met else "MISSED"
        print(f"  {ratio.name:<58} {ratio.value:>8.2f}  {ratio.target:<9} {mark:<7} {_of(a, b, ratio.unit)}")
    if report.cpu_us:
        print("  CPU per operation, µs")
        for what, spent in report.cpu_us.items():
            shown = "  ".join(f"{name} {us:,.0f}" for name, us in spent.items() if us >= 0.5)
            print(f"    {what:<34} {sum(spent.values()):>8,.0f}   = {shown}")
    for name, value in report.facts.items():
        print(f"  {name}: {value if not isinstance(value, dict) else json.dumps(value)}")


def write(reports: Sequence[Report], machine: Mapping[str, Any], name: str) -> Path:
    """Write all reports as JSON; returns the file's path."""
    RESULTS.mkdir(exist_ok=True)
    when = "" if name == REFERENCE else time.strftime("-%Y%m%d-%H%M%S", time.gmtime())
    path = RESULTS / f"{name}{when}.json"
    found = [{**asdict(r), "ratios": [_as_json(ratio) for ratio in r.ratios]} for r in reports]
    path.write_text(json.dumps({"machine": dict(machine), "reports": found}, indent=1) + "\n")
    return path


def _as_json(ratio: Ratio) -> dict[str, Any]:
    return {**asdict(ratio), "value": round(ratio.value, 4), "met": ratio.is_met}


def _of(a: float, b: float, unit: str) -> str:
    digits = 0 if min(a, b) >= 100 else 2
    return f"{a:,.{digits}f} / {b:,.{digits}f} {unit}"
