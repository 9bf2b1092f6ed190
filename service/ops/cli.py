"""The command `eo`. Data goes to stdout, messages to stderr; `--json` wherever a program may read.

`exit_codes` lists what each exit code means, and `guard` turns errors into them. The commands are in `commands`, or
beside the code that they run. A command with heavy imports is imported when it is called.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import shell_complete

from service import __version__
from service.foundation import guard
from service.foundation.exit_codes import OK, USAGE
from service.foundation.knobs import unknown
from service.foundation.settings import KNOBS
from service.ops.commands import (
    audit,
    console,
    disputes,
    events,
    installation,
    keys,
    ledger,
    notices,
    orders,
    outbox,
    payouts,
    processes,
    refunds,
)
from service.ops.kinds import KINDS

_COMPLETE = "_EO_COMPLETE"  # a shell sets this variable when it asks for completions


class _Elsewhere(NamedTuple):
    """A command that is imported when it is called; `summary` is its line in `eo --help`."""

    module: str
    name: str
    summary: str


_ELSEWHERE = {
    "demo": _Elsewhere("demo.__main__", "main", "Watch a naive consumer and this service in the same storm."),
    "doctor": _Elsewhere(
        "service.ops.doctor.command", "command", "Look for what keeps this installation from working."
    ),
    "healthy": _Elsewhere("service.ops.healthy", "command", "Whether the api, relay or worker here moves."),
    "reconcile": _Elsewhere("service.ops.commands.reconcile", "command", "Compare orders, ledger and Stripe."),
    "recover": _Elsewhere(
        "service.ops.commands.recover", "command", "Ask Stripe what this database may have forgotten."
    ),
}


class _Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (elsewhere := _ELSEWHERE.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(elsewhere.module), elsewhere.name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, name: str) -> str:
        return _ELSEWHERE[name].summary if name in _ELSEWHERE else self.commands[name].get_short_help_str(100)


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="eo")
def cli(*, debug: bool) -> None:
    """Orders that are charged once, on a network that only promises at-least-once."""
    guard.show_tracebacks(on=debug)
    for line in unknown(os.environ, KNOBS):
        click.echo(f"eo: {line}", err=True)


for _command in (
    *(processes.up, *map(processes.of_kind, KINDS.values()), processes.sandbox),
    *(installation.migrate, installation.settings, installation.status, installation.instance, installation.reset),
    *(keys.keys, outbox.outbox, orders.orders, refunds.refunds, disputes.disputes, payouts.payouts, events.events),
    *(ledger.ledger, notices.notices, audit.audit, console.console),
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> None:
    """Run one command. `cli.main` is not used: it exits with 1 when the reader of stdout has closed the pipe."""
    if instruction := os.environ.get(_COMPLETE):
        raise SystemExit(USAGE if shell_complete(cli, {}, "eo", _COMPLETE, instruction) else OK)
    with cli.make_context("eo", [_text(argument) for argument in arguments]) as context:
        cli.invoke(context)


def _text(argument: str) -> str:
    """The argument decoded as UTF-8, whatever the locale is. Raises UsageError where it is not UTF-8."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeDecodeError:
        raise click.UsageError("An argument is not UTF-8.") from None
