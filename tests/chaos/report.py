"""What is told of a storm: one line of JSON, and what the processes said meanwhile."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.invariants import Verdict


@dataclass
class Report:
    """What happened, and what was found. broke_off: why there is no verdict; for what it waited too long."""

    seed: int
    took_s: float = 0.0
    verdict: Verdict | None = None
    happened: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    broke_off: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it held, and there was something to hold against."""
        return self.verdict is not None and not self.verdict.violations and not self.missing

    def __str__(self) -> str:
        """One line of JSON for programs and people."""
        verdict = self.verdict
        held = {"orders": verdict.orders, "paid": verdict.paid, "failed": verdict.failed} if verdict else {}
        found = {
            "violations": verdict.violations if verdict else [f"no verdict: {self.broke_off}"],
            "did_not_happen": self.missing,
        }
        told = {"seed": self.seed, "took_s": round(self.took_s), **held, **found}
        return json.dumps(told | {"happened": dict(sorted(self.happened.items()))})


def brought_back(folder: Path) -> Counter[str]:
    """What the processes say in their logs of what their database had forgotten."""
    counts: Counter[str] = Counter()
    logs = [log for kind in ("relay", "worker") for log in folder.glob(f"{kind}-*.log")]
    for line in (line for log in logs for line in log.read_text(errors="replace").splitlines()):
        if '"event":"recovery.' in line:
            told = json.loads(line)
            counts[told["event"]] += 1
            counts["recovery adopted"] += told.get("adopted", 0)
            counts["recovery settled"] += told.get("settled", 0)
            counts["recovery reported"] += told.get("reported", 0)
    return counts


def mangled(log: Path) -> list[str]:
    """What a relay did to its messages."""
    lines = log.read_text(errors="replace").splitlines()
    return [line.partition('"mangled.')[2].partition('"')[0] for line in lines if '"mangled.' in line]
