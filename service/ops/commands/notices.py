"""`eo notices`: what producers are told."""

from typing import TYPE_CHECKING, Any

import click

from service.foundation.exit_codes import USAGE
from service.ops import table
from service.ops.arguments import one_of, who_option, why_option
from service.ops.terminal import ask, json_option, print_rows
from service.states import NOTICE_STATUSES

if TYPE_CHECKING:
    from service.audit import Who


@click.group()
def notices() -> None:
    """What producers are told: list it, send it again, or hold it back."""


@notices.command("list")
@click.option("--status", callback=one_of(NOTICE_STATUSES), help="Only those in this state: pending, parked, …")
@click.option("--order", "order_id", type=click.UUID, help="Only those of this order.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def notices_list(*, status: str | None, order_id: Any, limit: int, as_json: bool) -> None:
    """Show notices of all accounts, newest first."""
    from service.notices import list_notices  # noqa: PLC0415

    rows = ask(lambda engine: list_notices(engine, status=status, order_id=order_id, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        state = f" in the state {status}" if status else ""
        click.echo(f"eo: there is no notice{state}. POST /v1/webhook_endpoints makes somebody listen.", err=True)


@notices.command("resend")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All parked ones.")
@why_option
@who_option
def notices_resend(ids: tuple[Any, ...], reason: str | None, who: "Who", *, everything: bool) -> None:
    """Send notices again under the same ids, delivered ones too."""
    from service.notices import resend  # noqa: PLC0415

    if bool(ids) == everything:
        raise click.UsageError("Name notices by id, or say --all.")
    back = ask(lambda engine: resend(engine, list(ids) or None, who=who, reason=reason))
    click.echo(f"eo: {len(back)} of {len(ids) or len(back)} will be sent.", err=True)
    if strange := [str(one) for one in ids if one not in back]:
        click.echo(
            f"eo: unknown, being sent at this moment, or of a deleted endpoint: {', '.join(strange)}. "
            "`eo notices list` shows them.",
            err=True,
        )
        raise SystemExit(USAGE)


@notices.command("park")
@click.argument("notice_id", type=click.UUID)
@why_option
@who_option
def notices_park(notice_id: Any, reason: str | None, who: "Who") -> None:
    """Hold a notice back until `eo notices resend`."""
    from service.notices import park  # noqa: PLC0415

    ask(lambda engine: park(engine, notice_id, who=who, reason=reason))
    click.echo(f"eo: {notice_id} is parked.", err=True)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """The fields that the table shows; `--json` shows all."""
    since = row["ended_at"] or row["created_at"]
    return {
        "notice": row["id"],
        "type": row["type"],
        "object": row["object_id"],
        "state": f"{row['status']} {table.age(since)}",
        "tries": row["tries"],
        "answer": row["answer"],
        "to": row["url"],
    }
