"""What each alert is made of, read from the files of deploy/ that Prometheus and Grafana read."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml
from prometheus_client import Metric

from service.foundation import metrics
from service.monitoring import GAUGES

# The machine's, or the one that `make test` has unpacked beside Python.
PROMTOOL = shutil.which("promtool", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])) or ""
NO_PROMTOOL = "no promtool here: `make .venv/.promtool` fetches it, where apt can"
ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/effectively-once.json"
RUNBOOKS = ROOT / "docs/howto/runbooks.md"
_NAME = re.compile(r"\beo_[a-z_]+")
_OF_A_HISTOGRAM = ("_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Alert:
    """One alert: its name, what it asks, how bad it is, and its section of the runbooks."""

    name: str
    expr: str
    severity: str
    runbook: str


def alerts() -> list[Alert]:
    """All of them, in the order of their file."""
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule["labels"]["severity"],
            rule["annotations"]["runbook_url"].partition("#")[2],
        )
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    ]


def panels() -> Iterator[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    for panel in msgspec.json.decode(DASHBOARD.read_bytes())["panels"]:
        if panel["type"] != "row":
            yield panel


def families() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Every metric of ours by its name as a sample: type, help, labels."""
    found = {}
    for family in metrics.REGISTRY.collect():
        if family.name.startswith("eo_"):
            found[_sample(family)] = family.type, family.documentation, _labels(family.name)
    for gauge in GAUGES.values():
        kind, suffix = ("counter", "_total") if gauge.is_counter else ("gauge", "")
        found[f"eo_{gauge.name}{suffix}"] = kind, gauge.help, gauge.labels
    return found


def _sample(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(name: str) -> tuple[str, ...]:
    collector = metrics.REGISTRY._names_to_collectors.get(name)
    return tuple(getattr(collector, "_labelnames", ())) or (("event", "level") if name == "eo_log_events" else ())


def named(expr: str) -> set[str]:
    """The metrics that an expression reads."""
    known = families()
    names = set()
    for name in _NAME.findall(expr):
        base = next((name.removesuffix(end) for end in _OF_A_HISTOGRAM if name.endswith(end)), name)
        names.add(base if base in known else name)
    return names
