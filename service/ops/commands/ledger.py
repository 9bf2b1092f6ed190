"""`eo ledger`: the books."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from service.foundation.exit_codes import FOUND
from service.foundation.money import spelled
from service.ops.arguments import Instant
from service.ops.terminal import ask, json_option, print_rows

if TYPE_CHECKING:
    from service.balance import OpenMovement
    from service.ledger import Balance


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("balances")
@click.option("--as-of", type=Instant(), help="What occurred before that instant (UTC).")
@json_option
def ledger_balances(*, as_of: datetime | None, as_json: bool) -> None:
    """Show every account's balance, now or at an instant."""
    from service.ledger import balances  # noqa: PLC0415

    found = ask(lambda engine: balances(engine, as_of=as_of))
    print_rows(found if as_json else map(_row, found), as_json=as_json)


@ledger.command("verify")
@json_option
def ledger_verify(*, as_json: bool) -> None:
    """Recompute the books from their postings; exit 1 where something does not hold."""
    from service.balance import open_movements  # noqa: PLC0415
    from service.ledger import verify  # noqa: PLC0415

    findings = list(ask(verify, is_long=True))
    if findings or as_json:
        print_rows(findings, as_json=as_json)
    if any(row.status == "suspense" for row in ask(open_movements)):
        click.echo("eo: money of Stripe's stands in suspense. `eo ledger suspense` lists it.", err=True)
    click.echo(f"eo: {len(findings)} findings." if findings else "eo: the books hold.", err=True)
    if findings:
        raise SystemExit(FOUND)


@ledger.command("suspense")
@json_option
def ledger_suspense(*, as_json: bool) -> None:
    """Show each movement of Stripe's balance that has no booking of its own, the oldest first."""
    from service.balance import open_movements  # noqa: PLC0415

    print_rows([_open_row(row, as_json=as_json) for row in ask(open_movements)], as_json=as_json)


def _open_row(movement: "OpenMovement", *, as_json: bool) -> dict[str, object]:
    """A movement as a row: for people its sum as they write it."""
    row: dict[str, object] = dict(movement.items())
    if as_json:
        return row
    del row["net_minor"], row["currency"]
    return {"movement": row.pop("id"), "net": spelled(movement.net_minor, movement.currency), **row}


def _row(balance: "Balance") -> dict[str, object]:
    """A balance as a row of the table: the account by name instead of by id, amounts as people write them."""
    currency = balance["currency"]
    return {
        "owner": balance["account_name"],
        "account": balance["account"],
        "debit": spelled(balance["debit"], currency),
        "credit": spelled(balance["credit"], currency),
        "balance": spelled(balance["balance"], currency),
    }
