"""`eo recover`: ask Stripe what this database may have forgotten, and bring it back."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from service.foundation import exit_codes
from service.foundation.deadlines import LONG_STATEMENT_S
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from service.ops.arguments import Instant
from service.recovery.binding import check_binding
from service.recovery.findings import Findings, RefundsFound
from service.recovery.lives import current
from service.recovery.verification import NotTheVerifier, examine, recover
from service.stripe_gateway.objects import IncompleteListing


@click.command("recover", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--dry-run", is_flag=True, help="Only tell what would be brought back.")
@click.option("--since", type=Instant(), help="List from there, if it lies before the life's bound.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, dry_run: bool, since: datetime | None, as_json: bool) -> None:
    """Compare Stripe's payments and refunds of this installation with this database, and bring back what is not here.

    Relays and workers do this by themselves before they send anything after a restart, restore or failover.

    Exit: 0 all is known here now · 1 something can only be reported · 2 usage · 3 could not begin · 4 Stripe's list
    could not be read to its end.
    """
    sys.exit(asyncio.run(_run(since, dry_run=dry_run, as_json=as_json)))


async def _run(since: datetime | None, *, dry_run: bool, as_json: bool) -> int:
    try:
        findings = await _recover(Settings.from_env(), since, dry_run=dry_run)
    except IncompleteListing as error:
        return _refuse(f"{error}. What was found is kept; run it again.", exit_codes.INCOMPLETE)
    except (Unavailable, NotTheVerifier) as error:
        return _refuse(
            f"{error}. Run it again in a minute." if isinstance(error, NotTheVerifier) else str(error), exit_codes.AWAY
        )
    except Misconfigured as error:
        return _refuse(str(error), exit_codes.USAGE)
    if as_json:
        click.echo(json.dumps(findings.as_dict()))
    else:
        _print(findings, dry_run=dry_run)
    return exit_codes.FOUND if findings.reported else exit_codes.OK


async def _recover(settings: Settings, since: datetime | None, *, dry_run: bool) -> Findings:
    from service.stripe_gateway.client import StripeGateway  # noqa: PLC0415  the SDK costs half a second, `--help` needs none
    from service.stripe_gateway.pacing import COMMANDS  # noqa: PLC0415

    engine = create_engine(settings, name="recover", pool=2, statement_s=LONG_STATEMENT_S)
    try:
        async with StripeGateway(settings, replace(COMMANDS, say=_say)) as gateway:
            account_id, _ = await gateway.account_id()
            await check_binding(engine, account_id, is_live=settings.stripe_is_live)
            life = await current(engine, settings)
            begin = _begin(life.bound, since)
            _say(f"Stripe's payments and refunds since {begin.isoformat(timespec='seconds')} are compared.")
            if dry_run:
                return await examine(
                    engine, gateway, settings, life, since=begin, dry_run=True, between_pages=_progress
                )
            return await recover(engine, gateway, settings, life, since=begin, progress=_tell)
    finally:
        await close(engine)


def _begin(bound: datetime, since: datetime | None) -> datetime:
    """The listing's first moment: at the latest the bound, because a later listing would prove nothing."""
    return bound if since is None else min(bound, since)


async def _progress(findings: Findings) -> None:
    _tell(findings)


def _tell(findings: Findings) -> None:
    _say(f"{findings.listed} read, {findings.adopted} adopted, {findings.settled} settled")


def _print(findings: Findings, *, dry_run: bool) -> None:
    verb = "would be " if dry_run else ""
    click.echo(f"{verb}adopted   {findings.adopted}{_minor_units(findings, 'adopted')}")
    click.echo(f"{verb}settled   {findings.settled}")
    _print_refunds(findings.refunds, verb)
    click.echo(f"reported  {len(findings.reported)}{_minor_units(findings, 'reported')}")
    for one in findings.reported:
        click.echo(_line(one))


def _print_refunds(refunds: RefundsFound, verb: str) -> None:
    found = f"{refunds.adopted} adopted, {refunds.past_us} made past us, {refunds.settled} settled"
    click.echo(f"refunds   {verb}{found}{_in_minor_units(refunds.sums)}")


def _minor_units(findings: Findings, kind: str) -> str:
    return _in_minor_units(findings.sums[kind])


def _in_minor_units(sums: Mapping[str, int]) -> str:
    words = ", ".join(f"{amount} {currency}" for currency, amount in sorted(sums.items()))
    return f" ({words} in minor units)" if words else ""


def _line(one: dict[str, Any]) -> str:
    shown = one.get("refund") or one["payment_intent"]
    about = f"  {shown}  {one['amount']} {one['currency']}  {one['status']}  order {one['order_id']}"
    return f"{about}\n    {one['why']}"


def _refuse(words: str, code: int) -> int:
    _say(words)
    return code


def _say(words: str) -> None:
    click.echo(f"eo recover: {words}", err=True)
