"""`eo up`, and each process by itself: one of each kind, and the sandbox."""

import runpy
import sys

import click

from service.ops.kinds import Kind
from service.ops.terminal import json_option


@click.command()
@json_option
def up(*, as_json: bool) -> None:
    """Run everything here, in the foreground, until Ctrl-C."""
    from service.ops.up import up as run_up  # noqa: PLC0415

    _title("up")
    run_up(as_json=as_json)


def of_kind(kind: Kind) -> click.Command:
    """One process of this kind, until it is stopped."""
    return click.Command(kind.name, help=kind.summary, callback=lambda: _run_module(kind.name, kind.module))


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def sandbox(args: tuple[str, ...]) -> None:
    """Run the Stripe stand-in (`eo sandbox --help`)."""
    _run_module("sandbox", "sandbox", *args)


def _title(name: str) -> None:
    """Set the name that `ps` shows."""
    from setproctitle import setproctitle  # noqa: PLC0415

    setproctitle(f"eo {name}")


def _run_module(name: str, module: str, *args: str) -> None:
    """Run a module by its name: `service` may not import `workers` or `sandbox`, and `eo --help` stays fast."""
    _title(name)
    sys.argv = [f"eo {name}", *args]
    # `alter_sys` stays off: it would make the help show a file's path as the command's name.
    runpy.run_module(module, run_name="__main__")
