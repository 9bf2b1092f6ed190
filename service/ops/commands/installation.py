"""This installation: its schema, settings, parts and data."""

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import click

from service.foundation.exit_codes import AWAY
from service.foundation.knob_rules import RULES
from service.foundation.knobs import Knob
from service.foundation.settings import KNOBS, Settings
from service.foundation.settings import data_dir as named_data_dir
from service.ops import table
from service.ops.arguments import who_option
from service.ops.terminal import ask, json_option, masked, plain, print_json, print_rows

if TYPE_CHECKING:
    from service.audit import Who


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 2 where it is not this code's.")
@click.option("--grant-to", default="", metavar="LOGIN", help="Let the processes log in as LOGIN, which owns nothing.")
def migrate(*, only_check: bool, grant_to: str) -> None:
    """Bring the database's schema to this code's. Two at once are safe."""
    from service.foundation.postgres.migrate import app_role, check, current, head, upgrade  # noqa: PLC0415

    settings = Settings.from_env()
    if only_check:
        ask(check, checked=False)
        click.echo(f"The schema is at {head()}.")
        return
    before = ask(current, checked=False, as_app=False)
    upgrade(settings.database_url, grant_to=grant_to)
    click.echo(
        f"The schema is at {head()}." if before == head() else f"Migrated from {before or 'nothing'} to {head()}."
    )
    if not ask(app_role):
        click.echo("eo: this user may not create roles, so the ledger is protected by its triggers alone.", err=True)


@click.group()
def instance() -> None:
    """This installation, as Stripe's metadata names it."""


@instance.command("fork")
@click.option("--yes", is_flag=True, help="Do not ask.")
@who_option
def instance_fork(who: "Who", *, yes: bool) -> None:
    """Make a copied database an installation of its own, before it is used with the same Stripe account."""
    from service.recovery import fork  # noqa: PLC0415

    if not yes:
        click.confirm("Only in a copy: Stripe's payments so far stay with the original. Go on?", abort=True, err=True)
    click.echo(f"eo: this installation is {ask(lambda engine: fork(engine, who=who))} from now on.", err=True)


@click.command()
@json_option
def settings(*, as_json: bool) -> None:
    """Show every knob: its value here, its default, and why."""
    now = Settings.from_env()
    rows = [_knob(one, getattr(now, one.name)) for one in KNOBS]
    if as_json:
        about = ([rule.says for rule in RULES if one.variable in rule.variables] for one in KNOBS)
        print_json([row | {"rules": rules} for row, rules in zip(rows, about, strict=True)])
    else:
        print_rows(rows, as_json=False)
        rules = (table.paragraph(f"{rule.says}: {rule.why}", table.width()) for rule in RULES)
        click.echo("\n".join(["", *(line for rule in rules for line in rule)]))


def _knob(one: Knob, value: Any) -> dict[str, Any]:
    return {
        "variable": one.variable,
        "value": masked(one.variable, value),
        "default": plain(one.default),
        "bounds": one.bounds,
        "why": one.why,
    }


@click.command()
@click.option("--watch", "is_live", is_flag=True, help="Show it live, with the console's front page, until Ctrl-C.")
@json_option
def status(*, is_live: bool, as_json: bool) -> None:
    """Show which processes run and move, what waits, and whether orders can be paid; exit 3 where nothing runs."""
    if is_live:
        _watch(as_json=as_json)
        return
    from service.ops.status import status as read_status  # noqa: PLC0415
    from service.ops.status_text import lines, rows  # noqa: PLC0415

    found = read_status(named_data_dir())
    if as_json:
        print_json(found.as_dict())
    else:
        print_rows(rows(found), as_json=False)
        click.echo("\n".join(lines(found)))
    if not found.running and not (found.fleet and found.fleet.beats):
        click.echo("eo: no `eo up` runs here.", err=True)
        raise SystemExit(AWAY)


def _watch(*, as_json: bool) -> None:
    from service.ops.watching import watch  # noqa: PLC0415

    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        ask(lambda engine: watch(engine, named_data_dir(), as_json=as_json))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, yes: bool) -> None:
    """Delete the embedded data: orders, books, keys, everything."""
    from service.ops.status import refuse_reset  # noqa: PLC0415

    data_dir = named_data_dir()
    if not data_dir.exists():
        click.echo(f"eo: there is no {data_dir}.", err=True)
        return
    refuse_reset(data_dir)
    if not yes:
        click.confirm(f"Delete all data in {data_dir.absolute()}?", abort=True, err=True)
    shutil.rmtree(data_dir)
    click.echo(f"eo: {data_dir} is deleted.", err=True)
