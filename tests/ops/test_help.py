"""The help of each command names that command; one that is not installed says where it is."""

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from service.ops.cli import cli

pytestmark = pytest.mark.slow

WITHOUT_THE_DEMO = "import sys; sys.modules['demo'] = None; from service.__main__ import main; main()"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")


def test_the_help_of_every_command_names_it_and_says_what_it_does() -> None:
    found = dict(commands(cli, "eo"))
    assert {"eo demo", "eo sandbox", "eo orders watch", "eo reconcile", "eo recover"} <= set(found)
    for name, command in found.items():
        if name != "eo sandbox":  # which is a program of its own
            parents = name.split()[:-1]
            context = click.Context(
                command, info_name=name.split()[-1], parent=click.Context(cli, info_name=" ".join(parents))
            )
            assert command.get_help(context).startswith(f"Usage: {name}"), name
        assert command.get_short_help_str(), name


@pytest.mark.parametrize("name", ["sandbox", "demo"])
def test_the_help_of_a_program_names_the_command_that_was_typed(name: str) -> None:
    assert f"usage: eo {name} " in run("-m", "service", name, "--help").stdout.replace("Usage", "usage")
    assert f"usage: python -m {name} " in run("-m", name, "--help").stdout.replace("Usage", "usage")


def test_where_the_demo_is_not_installed_a_line_says_what_to_do() -> None:
    done = run("-c", WITHOUT_THE_DEMO, "demo")
    assert done.returncode == 2
    assert "`make demo`" in done.stderr
    assert done.stderr.count("\n") == 1
