"""`eo disputes`: look at what customers dispute at their banks."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from service.foundation.money import spelled
from service.ops import table
from service.ops.arguments import one_of
from service.ops.terminal import ask, json_option, print_json, print_rows
from service.states import DISPUTE_STATUSES


@click.group()
def disputes() -> None:
    """Disputes: list them, or show one with its history."""


@disputes.command("list")
@click.option("--status", callback=one_of(DISPUTE_STATUSES), help="Only those in this state: needs_response, lost, …")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def disputes_list(*, status: str | None, limit: int, as_json: bool) -> None:
    """Show disputes of all accounts, those that were opened last first."""
    from service.ops.dispute_inspection import newest  # noqa: PLC0415

    rows = ask(lambda engine: newest(engine, status=status, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        state = f" in the state {status}" if status else ""
        click.echo(f"eo: there is no dispute{state}. `eo orders show ID` shows what is known of an order.", err=True)


@disputes.command("show")
@click.argument("dispute", metavar="ID")
@json_option
def disputes_show(*, dispute: str, as_json: bool) -> None:
    """Show one dispute, by Stripe's id (dp_…), with the states that Stripe told of it."""
    from service.ops.dispute_inspection import find  # noqa: PLC0415

    found = ask(lambda engine: find(engine, dispute))
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(_told(found)))


def _row(dispute: Mapping[str, Any]) -> dict[str, Any]:
    due = dispute["evidence_due_by"]
    return {
        "dispute": dispute["id"],
        "order": dispute["order_id"],
        "status": dispute["status"],
        "reason": dispute["reason"],
        "amount": spelled(dispute["amount"], dispute["currency"]),
        "evidence until": due.date() if due else None,
    }


def _told(dispute: Mapping[str, Any]) -> Iterator[str]:
    shown = {name: value for name, value in dispute.items() if value is not None and name != "history"}
    shown |= {"amount": spelled(dispute["amount"], dispute["currency"])}
    shown["history"] = ", ".join(f"{entry['status']} {entry['at'][:19]}Z" for entry in dispute["history"])
    yield from table.fields(shown, table.width())
