"""`eo refunds`: look at refunds, or end one by hand."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from service.foundation.money import spelled
from service.ops import table
from service.ops.arguments import REASON, one_of, who_option
from service.ops.terminal import ask, json_option, print_json, print_rows
from service.states import REFUND_STATUSES

if TYPE_CHECKING:
    from service.audit import Who


@click.group()
def refunds() -> None:
    """Refunds: list them, show one, or end one by hand."""


@refunds.command("list")
@click.option("--status", callback=one_of(REFUND_STATUSES), help="Only those in this state: processing, failed, …")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def refunds_list(*, status: str | None, limit: int, as_json: bool) -> None:
    """Show refunds of all accounts, newest first."""
    from service.ops.refund_inspection import newest  # noqa: PLC0415

    rows = ask(lambda engine: newest(engine, status=status, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        state = f" in the state {status}" if status else ""
        click.echo(
            f"eo: there is no refund{state}. `eo orders list --status paid` shows what can be refunded.", err=True
        )


@refunds.command("show")
@click.argument("refund", metavar="ID|KEY")
@json_option
def refunds_show(*, refund: str, as_json: bool) -> None:
    """Show one refund, by its id, its idempotency key or Stripe's id (re_…)."""
    from msgspec import to_builtins  # noqa: PLC0415

    from service.ops.refund_inspection import find  # noqa: PLC0415

    account, found = ask(lambda engine: find(engine, refund))
    if as_json:
        print_json(to_builtins({"account": account, "refund": found}))
        return
    shown = {"account": account, **to_builtins(found), "amount": spelled(found.amount, found.currency)}
    click.echo("\n".join(table.fields({name: value for name, value in shown.items() if value}, table.width())))


@refunds.command("fail")
@click.argument("refund_id", type=click.UUID)
@click.option("--reason", required=True, type=REASON, help="Shown to the producer.")
@who_option
def refunds_fail(refund_id: Any, reason: str, who: "Who") -> None:
    """End a parked refund as failed. Nothing of it is sent any more, and its amount can be refunded again."""
    from service.refunds.ending import fail_by_hand  # noqa: PLC0415

    ask(lambda engine: fail_by_hand(engine, refund_id, reason, who=who))
    click.echo(f"eo: refund {refund_id} is failed.", err=True)


def _row(refund: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "refund": refund["id"],
        "order": refund["order_id"],
        "status": refund["status"],
        "amount": spelled(refund["amount"], refund["currency"]),
        "age": table.age(refund["created_at"]),
    }
