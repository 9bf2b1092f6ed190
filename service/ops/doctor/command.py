"""`eo doctor`."""

import asyncio
import json
from dataclasses import asdict

import click

from service.foundation.errors import Misconfigured
from service.foundation.exit_codes import FOUND
from service.foundation.settings import Settings
from service.ops.doctor.check import Check
from service.ops.doctor.connections import Connections
from service.ops.doctor.examination import examine

_COUNT = click.IntRange(0, 10_000)


@click.command()
@click.option("--api", default=1, show_default=True, type=_COUNT, help="Processes of that kind that shall run.")
@click.option("--relay", default=1, show_default=True, type=_COUNT, help="The same for relays.")
@click.option("--worker", default=1, show_default=True, type=_COUNT, help="The same for workers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, api: int, relay: int, worker: int, as_json: bool) -> None:
    """Look for what keeps this installation from working; exit 1 where something does.

    PostgreSQL must have connections for all processes at once: say how many there shall be.
    """
    settings = Settings.from_env()
    if not settings.database_url:
        raise Misconfigured("DATABASE_URL is not set and no `eo up` runs here. Start `eo up`, or set DATABASE_URL.")
    checks, sum_ = asyncio.run(examine(settings, {"api": api, "relay": relay, "worker": worker}))
    if as_json:
        click.echo(json.dumps(_as_json(checks, sum_)))
    else:
        for check in checks:
            click.echo(_line(check))
    if not all(check.ok for check in checks):
        raise SystemExit(FOUND)


def _line(check: Check) -> str:
    mark = "ok   " if check.ok else "WRONG"
    return f"{mark}  {check.name}: {check.said.rstrip('.')}.{' ' + check.next_step if check.next_step else ''}"


def _as_json(checks: list[Check], sum_: Connections | None) -> dict[str, object]:
    return {
        "schema_version": 1,
        "healthy": all(check.ok for check in checks),
        "checks": [asdict(check) for check in checks],
        "connections": sum_ and asdict(sum_),
    }
