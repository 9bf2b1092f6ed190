"""`eo audit`: who did what."""

import json
from typing import TYPE_CHECKING, Any

import click

from service.ops import table
from service.ops.terminal import ask, json_option, print_json, print_rows

if TYPE_CHECKING:
    from service.audit import Noted


@click.group()
def audit() -> None:
    """Who did what."""


@audit.command("list")
@click.option("--subject", metavar="ID", help="Only what was done to this order, row, refund, notice or key.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def audit_list(*, subject: str | None, limit: int, as_json: bool) -> None:
    """Show what operators did, newest first. Of an order also what was done to its rows and refunds."""
    from service.audit import changed, noted  # noqa: PLC0415

    found = ask(lambda engine: noted(engine, subject=subject, limit=limit))
    if as_json:
        print_json([_whole(one) for one in found])
        return
    print_rows((_row(one, changed(one)) for one in found), as_json=False)
    if not found:
        click.echo(f"eo: nobody did anything{' to it' if subject else ''} by hand.", err=True)


def _whole(one: "Noted") -> dict[str, Any]:
    return dict(one.items()) | {"before": _shown(one.before), "after": _shown(one.after)}


def _row(one: "Noted", change: str) -> dict[str, Any]:
    """The fields that the table shows; `--json` shows all."""
    return {
        "age": table.age(one.at),
        "who": f"{one.actor} ({one.via})",
        "action": one.action,
        "subject": one.subject,
        "change": change,
        "why": one.reason,
    }


def _shown(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
