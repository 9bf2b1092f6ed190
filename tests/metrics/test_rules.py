"""Alerts and dashboard: what they read exists, Prometheus judges them, and each alert has a runbook that works."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.metrics.rules import NO_PROMTOOL, PROMTOOL, ROOT, RULES, RUNBOOKS, alerts, families, named, panels
from tests.ops.test_order_commands import Eo, eo, run

__all__ = ["eo"]

needs_promtool = pytest.mark.skipif(not PROMTOOL, reason=NO_PROMTOOL)
HOUR = "x120"  # of samples every 30 s
DAY_AGO = -100_000

# By alert: series that make it fire, an hour long. What is not named here is HEALTHY.
FIRES: dict[str, dict[str, str]] = {
    "EoLedgerImbalance": {'eo_ledger_imbalance_minor_units{currency="usd"}': f"-7{HOUR}"},
    "EoDiscrepancies": {'eo_discrepancies_open{class="balance_drift"}': f"1{HOUR}"},
    "EoMovementsInSuspense": {"eo_balance_movements_in_suspense": "1x400"},
    "EoReconciliationOverdue": {"eo_reconciliation_last_complete_timestamp_seconds": f"{DAY_AGO}x400"},
    "EoPromisesLate": {"eo_outbox_due_seconds": f"301{HOUR}"},
    "EoParked": {"eo_outbox_parked": f"1{HOUR}"},
    "EoBreakerOpen": {"eo_breaker_open": f"1{HOUR}"},
    "EoStripeUnanswered": {"eo_stripe_unanswered": f"1{HOUR}"},
    "EoLifeNotVerified": {"eo_life_verified": f"0{HOUR}"},
    "EoClocksDiffer": {"eo_stripe_clock_difference_seconds": f"-150{HOUR}"},
    "EoSilent": {'eo_processes_alive{part="worker"}': f"0{HOUR}"},
    "EoApiGone": {"eo_postgres_up": "_x120"},
    "EoPostgresAway": {"eo_postgres_up": f"0{HOUR}"},
    "EoPostgresNotDurable": {'eo_postgres_durable{setting="fsync"}': f"0{HOUR}"},
    "EoRedisAway": {"eo_redis_up": f"0{HOUR}"},
    "EoInboxUnsettled": {"eo_inbox_oldest_age_seconds": f"3601{HOUR}"},
    "EoSweepLate": {'eo_sweep_age_seconds{list="refunds"}': f"3601{HOUR}"},
    "EoNoticesFail": {"eo_notices_oldest_age_seconds": f"3601{HOUR}"},
    "EoKeyEnds": {"eo_api_keys_ending_soon": f"1{HOUR}"},
    "EoErrors": {'eo_log_events_total{event="request.failed",level="error"}': "0+1x400"},
}
HEALTHY = {
    'eo_ledger_imbalance_minor_units{currency="usd"}': "0x400",
    'eo_discrepancies_open{class="balance_drift"}': "0x400",
    "eo_balance_movements_in_suspense": "0x400",
    "eo_reconciliation_last_complete_timestamp_seconds": "0+30x400",
    "eo_outbox_due_seconds": "1x400",
    "eo_outbox_parked": "0x400",
    "eo_breaker_open": "0x400",
    "eo_stripe_unanswered": "0x400",
    "eo_life_verified": "1x400",
    "eo_stripe_clock_difference_seconds": "1x400",
    'eo_processes_alive{part="relay"}': "1x400",
    'eo_processes_alive{part="worker"}': "2x400",
    "eo_postgres_up": "1x400",
    'eo_postgres_durable{setting="fsync"}': "1x400",
    "eo_redis_up": "1x400",
    "eo_inbox_oldest_age_seconds": "2x400",
    'eo_sweep_age_seconds{list="refunds"}': "60x400",
    "eo_notices_oldest_age_seconds": "5x400",
    "eo_notices_parked": "0x400",
    "eo_api_keys_ending_soon": "0x400",
    'eo_log_events_total{event="request.failed",level="error"}': "3x400",
}


def promtool(*words: str, given: str | None = None) -> str:
    """What promtool says; its exit status is 0."""
    found = subprocess.run([PROMTOOL, *words], input=given, text=True, capture_output=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def unit(series: dict[str, str], name: str, expected: int) -> dict[str, Any]:
    """After two hours, so many alerts of this name fire."""
    expr = f'count(ALERTS{{alertname=~"{name}",alertstate="firing"}}) or vector(0)'
    return {
        "interval": "30s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": "55m" if "x120" in str(series) else "2h",
             "exp_samples": [{"labels": "{}", "value": expected}]}
        ],
    }  # fmt: skip


def test_every_alert_has_a_case_and_reads_what_exists() -> None:
    found = alerts()
    assert {alert.name for alert in found} == set(FIRES)
    for alert in found:
        assert named(alert.expr) <= set(families()), alert.name


@needs_promtool
def test_each_alert_fires_when_it_must_and_none_while_all_is_well(tmp_path: Path) -> None:
    promtool("check", "rules", str(RULES))
    cases = [unit(HEALTHY, ".*", 0), *(unit(HEALTHY | FIRES[name], name, 1) for name in FIRES)]
    page = tmp_path / "rules.test.yml"
    page.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": cases}))
    promtool("test", "rules", str(page))


@needs_promtool
def test_the_example_of_a_configuration_is_one() -> None:
    promtool("check", "config", "--syntax-only", str(ROOT / "deploy/prometheus/prometheus.yml"))


def test_every_panel_reads_what_exists() -> None:
    found = list(panels())
    assert found
    for panel in found:
        for target in panel["targets"]:
            assert named(target["expr"]), panel["title"]
            assert named(target["expr"]) <= set(families()), panel["title"]


@needs_promtool
def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    exprs = [target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel["targets"]]
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(exprs)]
    page = tmp_path / "panels.yml"
    page.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(page))


def _sections() -> dict[str, str]:
    """The runbooks by their anchors."""
    found = {}
    for part in re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        found[re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")] = body
    return found


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    sections = _sections()
    assert {alert.runbook for alert in alerts()} == set(sections)
    for alert in alerts():
        assert f"`{alert.name}`" in sections[alert.runbook]


COMMANDS = sorted(
    {line for body in _sections().values() for line in re.findall(r"^    (eo .*)$", body, flags=re.MULTILINE)}
)


async def test_every_command_of_the_runbooks_can_be_run(eo: Eo, engine: AsyncEngine) -> None:
    assert COMMANDS
    for line in COMMANDS:
        found = await run(eo, *line.split()[1:])
        assert found.exit_code in (0, 1, 3, 4), f"{line}\n{found.output}"
        assert "Usage:" not in found.output, found.output
