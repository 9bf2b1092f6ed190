"""`eo keys`: who may come in."""

from typing import TYPE_CHECKING

import click

from service.ops.arguments import ACCOUNT_NAME, who_option, why_option
from service.ops.terminal import ask, json_option, print_json, print_rows

if TYPE_CHECKING:
    from service.audit import Who


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--account", required=True, type=ACCOUNT_NAME, help="The account's name; made if missing.")
@who_option
@json_option
def keys_create(account: str, who: "Who", *, as_json: bool) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    from service.accounts.keys import create_key  # noqa: PLC0415

    public_id, key = ask(lambda engine: create_key(engine, account, who=who))
    if as_json:
        print_json({"id": public_id, "key": key})
    else:
        click.echo(key)
        click.echo(f"eo: key {public_id} for account {account}. It is not shown again.", err=True)


@keys.command("list")
@json_option
def keys_list(*, as_json: bool) -> None:
    """Show all keys, without their secret."""
    from service.accounts.keys import list_keys  # noqa: PLC0415

    print_rows(ask(list_keys), as_json=as_json)


@keys.command("revoke")
@click.argument("public_id")
@why_option
@who_option
def keys_revoke(public_id: str, reason: str | None, who: "Who") -> None:
    """Refuse a key from now on."""
    from service.accounts.keys import revoke_key  # noqa: PLC0415

    ask(lambda engine: revoke_key(engine, public_id, who=who, reason=reason))
    click.echo(f"eo: key {public_id} is revoked.", err=True)
