"""What Prometheus is shown, and what wakes somebody, as pages show it."""

from service.duplicates.guards import HELP
from tests.docs.parts import table
from tests.metrics.rules import alerts, families, named


def metrics() -> str:
    """Every metric: type, labels, what it means, and which alerts read it."""
    read_by: dict[str, list[str]] = {}
    for alert in alerts():
        for name in named(alert.expr):
            read_by.setdefault(name, []).append(f"[{alert.name}](../howto/runbooks.md#{alert.runbook})")
    rows = (
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text, ", ".join(read_by.get(name, [])))
        for name, (kind, text, labels) in sorted(families().items())
    )
    return table(("metric", "type", "labels", "what", "alert"), rows)


def guards() -> str:
    """Every guard: what came twice, and what became of it."""
    return table(("guard", "what came twice", "what happens"), ((f"`{g}`", *help_) for g, help_ in HELP.items()))


def all_alerts() -> str:
    """Every alert with its runbook."""
    rows = ((f"[{one.name}](runbooks.md#{one.runbook})", one.severity, f"`{one.expr}`") for one in alerts())
    return table(("alert", "severity", "fires where"), rows)
