"""`eo ledger`: the books."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from service.foundation.exit_codes import FOUND
from service.foundation.money import spelled
from service.ops.arguments import Instant
from service.ops.terminal import ask, json_option, print_rows

if TYPE_CHECKING:
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
    from service.ledger import verify  # noqa: PLC0415

    findings = list(ask(verify, is_long=True))
    if findings or as_json:
        print_rows(findings, as_json=as_json)
    click.echo(f"eo: {len(findings)} findings." if findings else "eo: the books hold.", err=True)
    if findings:
        raise SystemExit(FOUND)


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
