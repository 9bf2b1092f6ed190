"""The command `eo`. Data goes to stdout, messages to stderr; `--json` wherever a program may read.

Exit codes: 0 done · 1 found something (reconcile, ledger verify) · 2 usage or configuration · 3 a dependency is away.
Everything heavy is imported inside the command that needs it, so that `eo --help` answers at once.
"""

import os
import runpy
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from service import __version__
from service.errors import EffectivelyOnceError, Unavailable
from service.knobs import Knob, unknown
from service.settings import KNOBS, RULES, Settings
from service.terminal import ask, masked, plain, print_json, print_rows

EXIT_FOUND, EXIT_CONFIG, EXIT_UNAVAILABLE = 1, 2, 3
_INSTANTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_PASS_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True}


class _Group(click.Group):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EffectivelyOnceError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"eo: {error}", err=True)
            ctx.exit(EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_CONFIG)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="eo")
def cli(*, debug: bool) -> None:  # noqa: ARG001  read by _Group from the context
    """Orders that are charged once, on a network that only promises at-least-once."""
    for line in unknown(os.environ, KNOBS):
        click.echo(f"eo: {line}", err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# --- processes


@cli.command()
@json_option
def up(*, as_json: bool) -> None:
    """Run everything here, in the foreground, until Ctrl-C."""
    from service.up import up as run_up  # noqa: PLC0415

    _title("up")
    run_up(as_json=as_json)


@cli.command()
def api() -> None:
    """Run the HTTP API."""
    _title("api")
    from service.api import run  # noqa: PLC0415

    run(Settings.from_env())


@cli.command()
def relay() -> None:
    """Run the outbox relay."""
    _run_module("relay", "workers.relay")


@cli.command()
def worker() -> None:
    """Run one charge worker; start more processes for more."""
    _run_module("worker", "workers.main")


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def sandbox(args: tuple[str, ...]) -> None:
    """Run the Stripe stand-in (`eo sandbox --help`)."""
    _run_module("sandbox", "sandbox", *args)


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def demo(args: tuple[str, ...]) -> None:
    """Watch the myth break and this service hold, in two minutes (`eo demo --help`)."""
    _run_module("demo", "demo", *args)


def _title(name: str) -> None:
    """The name in `ps`."""
    from setproctitle import setproctitle  # noqa: PLC0415

    setproctitle(f"eo {name}")


def _run_module(name: str, module: str, *args: str) -> None:
    """By name, because `service` may import none of `workers`, `sandbox` and `demo`."""
    _title(name)
    sys.argv = [f"eo {name}", *args]
    # Without `alter_sys`, which would put a file's path where the help shows the command's name.
    runpy.run_module(module, run_name="__main__")


# --- the schema


@cli.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 2 where it is not this code's.")
def migrate(*, only_check: bool) -> None:
    """Bring the database's schema to this code's. Two at once are safe."""
    from service.migrate import check, current, has_app_role, head, upgrade  # noqa: PLC0415

    settings = Settings.from_env()
    if only_check:
        ask(check, checked=False)
        click.echo(f"The schema is at {head()}.")
        return
    before = ask(current, checked=False)
    upgrade(settings.database_url)
    click.echo(
        f"The schema is at {head()}." if before == head() else f"Migrated from {before or 'nothing'} to {head()}."
    )
    if not ask(has_app_role):
        click.echo(
            "eo: this user may not create the role eo_app, so the ledger is protected by its triggers alone.", err=True
        )


# --- keys


@cli.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--account", required=True, help="The account's name; made if missing.")
@json_option
def keys_create(account: str, *, as_json: bool) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    from service.accounts import create_key  # noqa: PLC0415

    public_id, key = ask(lambda engine: create_key(engine, account))
    if as_json:
        print_json({"id": public_id, "key": key})
    else:
        click.echo(key)
        click.echo(f"eo: key {public_id} for account {account}. It is not shown again.", err=True)


@keys.command("list")
@json_option
def keys_list(*, as_json: bool) -> None:
    """Show all keys, without their secret."""
    from service.accounts import list_keys  # noqa: PLC0415

    print_rows(ask(list_keys), as_json=as_json)


@keys.command("revoke")
@click.argument("public_id")
def keys_revoke(public_id: str) -> None:
    """Refuse a key from now on."""
    from service.accounts import revoke_key  # noqa: PLC0415

    ask(lambda engine: revoke_key(engine, public_id))
    click.echo(f"eo: key {public_id} is revoked.", err=True)


# --- outbox


@cli.group()
def outbox() -> None:
    """Promises that are not on the books yet."""


@outbox.command("list")
@click.option("--parked/--due", "parked", default=None, help="Only those a human must look at, or only the others.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def outbox_list(*, parked: bool | None, limit: int, as_json: bool) -> None:
    """Show rows, oldest first."""
    from service.outbox import list_rows  # noqa: PLC0415

    print_rows(ask(lambda engine: list_rows(engine, parked, limit)), as_json=as_json)


@outbox.command("retry")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All parked rows.")
def outbox_retry(ids: tuple[Any, ...], *, everything: bool) -> None:
    """Bring parked rows back, under all the same guards."""
    from service.outbox import retry  # noqa: PLC0415

    if bool(ids) == everything:
        raise click.UsageError("Name rows by id, or say --all.")
    back = ask(lambda engine: retry(engine, list(ids) or None))
    click.echo(f"eo: {len(back)} of {len(ids) or len(back)} brought back.", err=True)


@outbox.command("park")
@click.argument("row_id", type=click.UUID)
@click.option("--reason", required=True)
def outbox_park(row_id: Any, reason: str) -> None:
    """Take a row out of delivery until `eo outbox retry`."""
    from service.outbox import park  # noqa: PLC0415

    ask(lambda engine: park(engine, row_id, reason))
    click.echo(f"eo: {row_id} is parked.", err=True)


# --- orders and this installation at Stripe


@cli.group()
def orders() -> None:
    """Orders, where a human must decide."""


@orders.command("fail")
@click.argument("order_id", type=click.UUID)
@click.option("--reason", required=True, help="Shown to the producer.")
def orders_fail(order_id: Any, reason: str) -> None:
    """End a parked order as failed. Nothing of it is sent any more."""
    from service.charges.ending import fail_by_hand  # noqa: PLC0415

    ask(lambda engine: fail_by_hand(engine, order_id, reason))
    click.echo(f"eo: order {order_id} is failed.", err=True)


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def recover(args: tuple[str, ...]) -> None:
    """Ask Stripe what this database may have forgotten (`eo recover --help`)."""
    from service.recovery.command import command  # noqa: PLC0415

    raise SystemExit(command.main(list(args), prog_name="eo recover", standalone_mode=False) or 0)


@cli.group()
def instance() -> None:
    """This installation, as Stripe's metadata names it."""


@instance.command("fork")
@click.option("--yes", is_flag=True, help="Do not ask.")
def instance_fork(*, yes: bool) -> None:
    """Make a copied database an installation of its own, before it is used with the same Stripe account."""
    from service.recovery import fork  # noqa: PLC0415

    if not yes:
        click.confirm("Only in a copy: Stripe's payments so far stay with the original. Go on?", abort=True, err=True)
    click.echo(f"eo: this installation is {ask(fork)} from now on.", err=True)


# --- ledger and reconciliation


@cli.group()
def ledger() -> None:
    """The books."""


@ledger.command("balances")
@click.option("--as-of", type=click.DateTime(_INSTANTS), help="What occurred before that instant (UTC).")
@json_option
def ledger_balances(*, as_of: datetime | None, as_json: bool) -> None:
    """Show every account's balance, now or at an instant."""
    from service.ledger import balances  # noqa: PLC0415

    moment = as_of.replace(tzinfo=as_of.tzinfo or UTC) if as_of else None
    print_rows(ask(lambda engine: balances(engine, as_of=moment)), as_json=as_json)


@ledger.command("verify")
@json_option
def ledger_verify(*, as_json: bool) -> None:
    """Recompute the books from their postings; exit 1 where something does not hold."""
    from service.ledger import verify  # noqa: PLC0415

    findings = list(ask(verify))
    if findings or as_json:
        print_rows(findings, as_json=as_json)
    click.echo(f"eo: {len(findings)} findings." if findings else "eo: the books hold.", err=True)
    if findings:
        raise SystemExit(EXIT_FOUND)


@cli.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def reconcile(args: tuple[str, ...]) -> None:
    """Compare orders, ledger and Stripe (`eo reconcile --help`)."""
    from service.reconcile import command  # noqa: PLC0415

    result = command.main(list(args), prog_name="eo reconcile", standalone_mode=False)
    raise SystemExit(result if isinstance(result, int) else 0)


# --- this installation


@cli.command()
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
        click.echo("\n".join(["", *(f"{rule.says}: {rule.why}" for rule in RULES)]))


def _knob(one: Knob, value: Any) -> dict[str, Any]:
    return {
        "variable": one.variable,
        "value": masked(one.variable, value),
        "default": plain(one.default),
        "bounds": one.bounds,
        "why": one.why,
    }


@cli.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show what of `eo up` runs and whether orders can be paid; exit 3 where nothing runs."""
    from service.status import status as read_status  # noqa: PLC0415

    found = read_status(Path(os.environ.get("EO_DATA_DIR") or ".eo"))
    if as_json:
        print_json(found.as_dict())
    else:
        print_rows([{"part": name, "pid": pid or "-"} for name, pid in found.parts.items()], as_json=False)
        if found.running:
            click.echo("\n".join([f"ready: {found.ready or 'the API does not answer'}", *found.reasons]))
    if not found.running:
        click.echo("eo: no `eo up` runs here.", err=True)
        raise SystemExit(EXIT_UNAVAILABLE)


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, yes: bool) -> None:
    """Delete the embedded data: orders, books, keys, everything."""
    from service.status import refuse_reset  # noqa: PLC0415

    data_dir = Path(os.environ.get("EO_DATA_DIR") or ".eo")
    if not data_dir.exists():
        click.echo(f"eo: there is no {data_dir}.", err=True)
        return
    refuse_reset(data_dir)
    if not yes:
        click.confirm(f"Delete all data in {data_dir.absolute()}?", abort=True, err=True)
    shutil.rmtree(data_dir)
    click.echo(f"eo: {data_dir} is deleted.", err=True)


def main() -> None:
    """The entry point."""
    cli()
