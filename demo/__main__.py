"""`eo demo`: its arguments, the order of its steps, and the clean-up at its end, also when it is interrupted."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from demo import picture
from demo.contenders import Contender, Naive, Ours
from demo.plan import Plan
from demo.rates import measure
from demo.screen import Screen
from demo.stage import Stage
from demo.storm import Storm
from demo.summary import Result, as_json, tables
from service.foundation import exit_codes, guard
from service.foundation.errors import Unavailable


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--seed", default=7, show_default=True, help="Draws every fault; the same seed, the same storm.")
@click.option("--orders", type=click.IntRange(20, 20_000), help="Orders placed during each storm; a third is refunded.")
@click.option("--minutes", default=2.0, show_default=True, type=click.FloatRange(0.5, 30), help="About how long.")
@click.option("--quick", is_flag=True, help="Everything in about a minute, with small numbers.")
@click.option("--json", "as_json_", is_flag=True, help="One JSON document on stdout, progress on stderr.")
@click.option(
    "--picture", "svg", type=click.Path(dir_okay=False, path_type=Path), help="Also write the closing as SVG."
)
def main(*, seed: int, orders: int | None, minutes: float, quick: bool, as_json_: bool, svg: Path | None) -> None:
    """Watch the naive consumer and this service go through the same storm.

    Everything runs here in a temporary folder: PostgreSQL, Valkey, a Stripe stand-in, the service's own processes.
    Nothing of `eo up` is touched, nothing is left behind. Exit 0 only if ours lost nothing, charged and refunded
    nothing twice, and the reconciliation is clean; 1 if not.
    """
    plan = Plan.of(seed=seed, orders=orders, minutes=minutes, quick=quick)
    console = Console(stderr=as_json_, highlight=False)
    live = console.is_terminal and "NO_COLOR" not in os.environ
    # SIGINT is set too: a command that a shell starts in the background inherits that it is ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with Screen(console, live=live) as screen:
            result = run(plan, screen)
    except KeyboardInterrupt:
        click.echo("eo demo: stopped; nothing is left running", err=True)
        sys.exit(exit_codes.INTERRUPTED)
    if svg:
        picture.write(svg, result, screen.said)
    _print(result, console, as_json_=as_json_)
    sys.exit(exit_codes.OK if result.ok else exit_codes.FOUND)


def run(plan: Plan, screen: Screen) -> Result:
    """Run both contenders and the measurement; returns the result. Removes all it made, also when interrupted."""
    began = time.monotonic()
    with contextlib.ExitStack() as leaving:
        screen.say("starting PostgreSQL and Valkey in a temporary folder")
        stage = leaving.enter_context(Stage())
        naive, ours = _rage(Naive(stage, plan), screen, leaving), _rage(Ours(stage, plan), screen, leaving)
        screen.begin("reconciliation")
        found = reconcile(ours)
        screen.say(f"eo reconcile: {found['verdict']}, {len(found['discrepancies'])} discrepancies")
        screen.begin("the numbers that matter: nothing goes wrong but messages that come twice")
        our_rates = measure(ours, plan, screen)
        ours.rest()
        naive_rates = measure(naive, plan, screen)
    return Result(plan, time.monotonic() - began, naive.final, ours.final, found, naive_rates, our_rates)


def _rage(contender: Contender, screen: Screen, leaving: contextlib.ExitStack) -> Contender:
    """Run one contender through the faults."""
    leaving.callback(contender.world.end)
    screen.scores[contender.title] = contender.score
    screen.begin(f"part {len(screen.scores)}: {contender.about}")
    Storm(contender, contender.plan, screen).rage()
    contender.keep_score()
    if isinstance(contender, Naive):
        contender.rest()
    return contender


def reconcile(contender: Contender) -> dict[str, Any]:
    """The JSON of `eo reconcile` on this world. Raises Unavailable where it prints none."""
    done = contender.world.eo("reconcile", "--json")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise Unavailable(f"eo reconcile said nothing: {done.stderr.strip()}") from error
    return found


def _print(result: Result, console: Console, *, as_json_: bool) -> None:
    for table in tables(result):
        console.print(table)
    if as_json_:
        click.echo(json.dumps(as_json(result), indent=2))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    guard.run(lambda: main(standalone_mode=False))
