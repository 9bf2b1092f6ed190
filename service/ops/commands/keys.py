"""`eo keys`: who may come in, for what, and until when."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from service.foundation.settings import Settings
from service.ops import table
from service.ops.arguments import ACCOUNT_NAME, Span, who_option, why_option
from service.ops.terminal import ask, json_option, print_json, print_rows

if TYPE_CHECKING:
    from service.accounts import KeyRow
    from service.audit import Who

_SCOPES = (
    "orders:write", "orders:read", "refunds:write", "ledger:read", "reconcile:read", "ops:read", "ops:write", "admin",
)  # fmt: skip
_RPS_MAX = 1_000_000
_expires_option = click.option("--expires", type=Span(), help="Refuse it from then on: 90d, 12h.")


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--account", required=True, type=ACCOUNT_NAME, help="The account's name; made if missing.")
@click.option(
    "--scope", "scopes", multiple=True, default=["admin"], show_default=True,
    type=click.Choice(_SCOPES), help="What it is for; may be given several times.",
)  # fmt: skip
@_expires_option
@click.option("--rps", type=click.IntRange(1, _RPS_MAX), help="Its own limit of requests per second.")
@who_option
@json_option
def keys_create(
    account: str, scopes: tuple[str, ...], expires: timedelta | None, rps: int | None, who: "Who", *, as_json: bool
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    from service.accounts import KeyTerms, Scope, create_key  # noqa: PLC0415

    terms = KeyTerms(
        [Scope(scope) for scope in dict.fromkeys(scopes)], expires, rps, Settings.from_env().stripe_is_live
    )
    made = ask(lambda engine: create_key(engine, account, who=who, terms=terms))
    _show(*made, f"for account {account}", as_json=as_json)


@keys.command("roll")
@click.argument("public_id")
@click.option(
    "--overlap", type=Span(may_be_0=True), default="24h", show_default=True, help="How long the old one is served, too."
)
@_expires_option
@why_option
@who_option
@json_option
def keys_roll(
    public_id: str, overlap: timedelta, expires: timedelta | None, reason: str | None, who: "Who", *, as_json: bool
) -> None:
    """Make a key in the place of another, which ends after the overlap. It has the same account, scopes and limit."""
    from service.accounts import roll_key  # noqa: PLC0415

    live = Settings.from_env().stripe_is_live
    made = ask(
        lambda engine: roll_key(
            engine, public_id, who=who, overlap=overlap, is_live=live, valid_for=expires, reason=reason
        )
    )
    _show(*made, f"in the place of {public_id}", as_json=as_json)


@keys.command("list")
@json_option
def keys_list(*, as_json: bool) -> None:
    """Show all keys, without their secret: what they are for, their last use, their end."""
    from service.accounts import list_keys  # noqa: PLC0415

    found = ask(list_keys)
    print_rows([dict(row.items()) for row in found] if as_json else map(_row, found), as_json=as_json)
    for line in warnings(found):
        click.echo(f"eo: {line}", err=True)


@keys.command("revoke")
@click.argument("public_id")
@why_option
@who_option
def keys_revoke(public_id: str, reason: str | None, who: "Who") -> None:
    """Refuse a key from now on."""
    from service.accounts import revoke_key  # noqa: PLC0415

    ask(lambda engine: revoke_key(engine, public_id, who=who, reason=reason))
    click.echo(f"eo: key {public_id} is revoked.", err=True)


def warnings(found: Iterable["KeyRow"]) -> list[str]:
    """A line for each key that ends soon and has no other key in its place."""
    return [
        f"key {row.id} of account {row.account} ends {table.age(row.expires_at)}. `eo keys roll {row.id}` makes the "
        "next one."
        for row in found
        if row.status == "ends soon" and row.replaced_by is None and row.expires_at is not None
    ]


def _show(public_id: str, key: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": public_id, "key": key})
    else:
        click.echo(key)
        click.echo(f"eo: key {public_id} {what}. It is not shown again.", err=True)


def _row(key: "KeyRow") -> dict[str, object]:
    """The fields that the table shows; `--json` shows all."""
    end = key.revoked_at or key.expires_at
    return {
        "key": key.id,
        "account": key.account,
        "scopes": " ".join(key.scopes),
        "status": key.status,
        "end": table.age(end) if end else None,
        "used": table.age(key.last_used_at) if key.last_used_at else "never",
        "rps": key.rps,
    }
