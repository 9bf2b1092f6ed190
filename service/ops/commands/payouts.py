"""`eo payouts`: look at what went to the bank, and at what is in it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from service.foundation.money import spelled
from service.ops import table
from service.ops.arguments import one_of
from service.ops.terminal import ask, json_option, print_json, print_rows
from service.states import PAYOUT_STATUSES

if TYPE_CHECKING:
    from service.ops.payout_inspection import Seen


@click.group()
def payouts() -> None:
    """Payouts: list them, or show one and what is in it."""


@payouts.command("list")
@click.option("--status", callback=one_of(PAYOUT_STATUSES), help="Only those in this state: in_transit, failed, …")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def payouts_list(*, status: str | None, limit: int, as_json: bool) -> None:
    """Show payouts, newest first."""
    from service.ops.payout_inspection import newest  # noqa: PLC0415

    rows = ask(lambda engine: newest(engine, status=status, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        state = f" in the state {status}" if status else ""
        click.echo(f"eo: there is no payout{state}. Stripe makes them by the schedule of its account.", err=True)


@payouts.command("show")
@click.argument("payout", metavar="ID")
@json_option
def payouts_show(*, payout: str, as_json: bool) -> None:
    """Show one payout (po_…): what is in it by kind and sum, and by what the bank finds it."""
    from service.ops.payout_inspection import find  # noqa: PLC0415

    seen = ask(lambda engine: find(engine, payout))
    if as_json:
        print_json({"payout": seen.payout, "in_it": seen.in_it, "unexplained": seen.unexplained})
        return
    click.echo("\n".join(_told(seen)))


def _row(payout: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "payout": payout["id"],
        "status": payout["status"],
        "amount": spelled(payout["amount"], payout["currency"]),
        "arrival": payout["arrival_date"],
        "trace id": payout["trace_id"],
    }


def _told(seen: "Seen") -> Iterator[str]:
    payout, columns = seen.payout, table.width()
    shown = {name: value for name, value in payout.items() if value is not None and name not in ("failure", "history")}
    shown |= {"amount": spelled(payout["amount"], payout["currency"])}
    if payout["failure"] is not None:
        shown["failure"] = ", ".join(filter(None, payout["failure"].values()))
    shown["history"] = ", ".join(f"{entry['status']} {entry['at'][:19]}Z" for entry in payout["history"])
    yield from table.fields(shown, columns)
    yield ""
    yield from table.lines([_sum(line) for line in seen.in_it], columns)
    yield _whole(seen)


def _sum(line: Mapping[str, Any]) -> dict[str, Any]:
    sums = {name: spelled(line[name], line["currency"]) for name in ("amount", "fee", "net")}
    return {"kind": line["kind"], "count": line["count"], **sums}


def _whole(seen: "Seen") -> str:
    payout = seen.payout
    if seen.unexplained is None:
        if payout["automatic"]:
            return "Stripe has not said yet what is in it."
        return "It was made by hand: Stripe does not say what is in such a payout."
    if seen.unexplained == 0:
        return "What is in it is its amount, to the cent."
    rest = spelled(seen.unexplained, payout["currency"])
    return f"{rest} of it is of movements that this database does not have, such as those before this installation."
