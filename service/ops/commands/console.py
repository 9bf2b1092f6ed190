"""`eo console`: who may see the console."""

from typing import TYPE_CHECKING

import click

from service.foundation.settings import Settings
from service.ops.arguments import USER_NAME, who_option
from service.ops.terminal import ask, json_option, print_json

if TYPE_CHECKING:
    from service.audit import Who
    from service.console import Role

_MINUTES, _MINUTES_MAX = 15, 1_440


@click.group()
def console() -> None:
    """The console, a page in the browser."""


@console.command("link")
@click.option(
    "--role", type=click.Choice(["read", "operate"]), default="read", show_default=True, help="To look or to act."
)
@click.option(
    "--minutes",
    type=click.IntRange(1, _MINUTES_MAX),
    default=_MINUTES,
    show_default=True,
    help="How long it is good for.",
)
@click.option("--for", "actor", type=USER_NAME, help="Who will open it; the audit names them. Default: who makes it.")
@who_option
@json_option
def console_link(role: "Role", minutes: int, actor: str | None, who: "Who", *, as_json: bool) -> None:
    """Make a link that opens the console once. It is shown once: only its hash is kept."""
    from service.console import Access, Doorway  # noqa: PLC0415

    settings = Settings.from_env()
    doorway = Doorway.of(settings)
    for_whom = actor or who.actor
    link = doorway.link(ask(lambda engine: Access(engine).link(who, for_whom, role, minutes)))
    if as_json:
        print_json({"link": link, "actor": for_whom, "role": role, "minutes": minutes})
    else:
        click.echo(link)
        click.echo(f"eo: opens the console once, within {minutes} minutes; {for_whom} may {role}.", err=True)
    if not settings.console:
        click.echo("eo: the console is off in this environment. Start `eo api` with EO_CONSOLE=1.", err=True)
