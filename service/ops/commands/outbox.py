"""`eo outbox`: promises that are not on the books yet."""

from typing import TYPE_CHECKING, Any

import click

from service.foundation.exit_codes import USAGE
from service.ops import table
from service.ops.arguments import REASON, who_option, why_option
from service.ops.terminal import ask, json_option, print_rows

if TYPE_CHECKING:
    from service.audit import Who

_NOTHING = {None: "waits: what was accepted is on the books", True: "is parked", False: "is due"}


@click.group()
def outbox() -> None:
    """Promises that are not on the books yet."""


@outbox.command("list")
@click.option("--parked/--due", "parked", default=None, help="Only those a human must look at, or only the others.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def outbox_list(*, parked: bool | None, limit: int, as_json: bool) -> None:
    """Show rows, oldest first."""
    from service.outbox import list_rows  # noqa: PLC0415

    rows = ask(lambda engine: list_rows(engine, parked, limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        click.echo(f"eo: nothing {_NOTHING[parked]}.", err=True)


@outbox.command("retry")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All parked rows.")
@why_option
@who_option
def outbox_retry(ids: tuple[Any, ...], reason: str | None, who: "Who", *, everything: bool) -> None:
    """Bring parked rows back, under all the same guards."""
    from service.outbox import retry  # noqa: PLC0415

    if bool(ids) == everything:
        raise click.UsageError("Name rows by id, or say --all.")
    back = ask(lambda engine: retry(engine, list(ids) or None, who=who, reason=reason))
    click.echo(f"eo: {len(back)} of {len(ids) or len(back)} brought back.", err=True)
    if strange := [str(one) for one in ids if one not in back]:
        click.echo(f"eo: no parked row: {', '.join(strange)}. `eo outbox list --parked` shows the rows.", err=True)
        raise SystemExit(USAGE)


@outbox.command("park")
@click.argument("row_id", type=click.UUID)
@click.option("--reason", required=True, type=REASON)
@who_option
def outbox_park(row_id: Any, reason: str, who: "Who") -> None:
    """Take a row out of delivery until `eo outbox retry`."""
    from service.outbox import park  # noqa: PLC0415

    ask(lambda engine: park(engine, row_id, reason, who=who))
    click.echo(f"eo: {row_id} is parked.", err=True)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """The fields that the table shows; `--json` shows all."""
    parked = row["parked_at"]
    state = f"parked {table.age(parked)}" if parked else f"due {table.age(row['deliver_after'])}"
    return {"row": row["id"], "order": row["order_id"], "state": state, "why": row["last_error"]}
