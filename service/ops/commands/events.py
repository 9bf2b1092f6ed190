"""`eo events`: what Stripe has told, and what came of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from service.foundation import exit_codes
from service.foundation.guard import is_of_output
from service.ops import table
from service.ops.terminal import ask, json_option, print_json, print_rows

if TYPE_CHECKING:
    from service.inbox.syncing import Synced

_DAYS_MAX = 30  # for which Stripe keeps its events


@click.group()
def events() -> None:
    """What Stripe has told: list it, show one event, or fetch what was not delivered."""


@events.command("list")
@click.option("--unsettled", is_flag=True, help="Only those whose object is still to be read.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def events_list(*, unsettled: bool, limit: int, as_json: bool) -> None:
    """Show events, newest first."""
    from service.inbox.looking import newest  # noqa: PLC0415

    rows = ask(lambda engine: newest(engine, unsettled=unsettled, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        none = "every event is settled" if unsettled else "no event has come; `eo doctor` tells whether webhooks are on"
        click.echo(f"eo: {none}.", err=True)


@events.command("show")
@click.argument("event", metavar="ID|OBJECT")
@json_option
def events_show(*, event: str, as_json: bool) -> None:
    """Show one event by its id (evt_…), or the newest one about an object of Stripe's (pi_…, re_…)."""
    from service.inbox.looking import find  # noqa: PLC0415

    found = ask(lambda engine: find(engine, event))
    if as_json:
        print_json(found)
        return
    shown = {**found, **found.pop("kept")}
    click.echo("\n".join(table.fields({name: value for name, value in shown.items() if value}, table.width())))


@events.command("sync")
@click.option("--days", default=_DAYS_MAX, show_default=True, type=click.IntRange(1, _DAYS_MAX), help="How far back.")
@json_option
def events_sync(*, days: int, as_json: bool) -> None:
    """Fetch the events that Stripe could not deliver, and store them; a relay then settles them.

    Exit: 0 all were read · 2 usage · 3 could not begin · 4 Stripe's list could not be read to its end.
    """
    from service.stripe_gateway.objects import IncompleteListing  # noqa: PLC0415

    try:
        found = asyncio.run(_sync(days))
    except IncompleteListing as error:
        _say(f"{error}. What was read is stored; run it again.")
        raise SystemExit(exit_codes.INCOMPLETE) from error
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(f"{found.listed} undelivered, {found.stored} of them new here")


async def _sync(days: int) -> "Synced":
    from service.foundation.deadlines import COMMAND_S  # noqa: PLC0415  `--help` needs none of these
    from service.foundation.postgres.db import as_unavailable, close, create_engine, is_unreachable  # noqa: PLC0415
    from service.foundation.settings import Settings  # noqa: PLC0415
    from service.inbox.syncing import sync  # noqa: PLC0415
    from service.recovery.binding import check_binding  # noqa: PLC0415
    from service.stripe_gateway.client import StripeGateway  # noqa: PLC0415
    from service.stripe_gateway.pacing import COMMANDS  # noqa: PLC0415

    settings = Settings.from_env()
    settings.require("DATABASE_URL", "STRIPE_API_KEY")
    engine = create_engine(settings, name="cli", pool=1, statement_s=COMMAND_S)
    try:
        async with StripeGateway(settings, replace(COMMANDS, say=_say)) as gateway:
            account_id, _ = await gateway.account_id()
            await check_binding(engine, account_id, is_live=settings.stripe_is_live)
            return await sync(engine, gateway, days=days, say=_tell)
    except Exception as error:
        if is_of_output(error) or not is_unreachable(error):
            raise
        raise as_unavailable(error) from error
    finally:
        await close(engine)


def _tell(found: "Synced") -> None:
    _say(f"{found.listed} read, {found.stored} stored")


def _say(words: str) -> None:
    click.echo(f"eo events sync: {words}", err=True)


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the table shows; `--json` shows all."""
    return {
        "event": event["id"],
        "type": event["type"],
        "object": event["object_id"],
        "state": event["state"],
        "age": table.age(event["received_at"]),
        "note": event["note"],
    }
