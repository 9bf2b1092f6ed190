"""`eo reconcile` and `eo reconcile ack`: data on stdout, progress on stderr, and an exit code that can be trusted."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import click

from service.audit import Who
from service.effects import Rules
from service.foundation import exit_codes
from service.foundation.deadlines import LONG_STATEMENT_S
from service.foundation.errors import EffectivelyOnceError, Misconfigured, NotFound, Unavailable
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from service.ops.arguments import REASON, Instant, who_option
from service.reconcile.acknowledging import acknowledge
from service.reconcile.healing import Healer
from service.reconcile.report import FORMATS
from service.reconcile.results import Report
from service.reconcile.run import CutShort, reconcile
from service.reconcile.window import Span, day
from service.recovery.binding import check_binding

_VERDICTS = {"clean": exit_codes.OK, "discrepancies": exit_codes.FOUND, "incomplete": exit_codes.INCOMPLETE}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of one call. tell: print what healing would do; heal: who wants it done, if it is to be done."""

    span: Span
    form: str
    tell: bool
    heal: Who | None


class _Fingerprint(click.ParamType[str]):
    name = "fingerprint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = str(value).lower()
        if not re.fullmatch("[0-9a-f]{8,64}", given):
            self.fail("is not a fingerprint: 8 to 64 hex digits, as `eo reconcile` shows them.", param, ctx)
        return given


class _Day(click.ParamType[Span]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        try:
            return value if isinstance(value, Span) else day(value)
        except ValueError:
            self.fail("is not a day such as 2026-11-24.", param, ctx)


@click.group(
    "reconcile",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--since", type=Instant(), metavar="ISO", help="First instant of the window; UTC unless it says otherwise."
)
@click.option("--until", type=Instant(), metavar="ISO", help="End of the window, not part of it. Default: now.")
@click.option("--day", "whole_day", type=_Day(), metavar="YYYY-MM-DD", help="A whole UTC day instead.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--heal", is_flag=True, help="Tell what Stripe's own success could put right here.")
@click.option("--yes", is_flag=True, help="With --heal: put it right, then compare again.")
@who_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    since: datetime | None,
    until: datetime | None,
    whole_day: Span | None,
    form: str,
    as_json: bool,
    heal: bool,
    yes: bool,
    who: Who,
) -> None:
    """Compare our orders, our ledger and Stripe's own list, and name every difference.

    The window is on Stripe's `created`; without one it is the last 48 hours, and every discrepancy that is still open,
    however old. Nothing is changed anywhere, unless --heal --yes says so; nothing is ever charged.

    Exit: 0 clean (what is in flight is shown) · 1 discrepancies · 2 usage · 3 could not begin, a dependency is away ·
    4 began and could not read everything, so the result is neither.
    """
    if ctx.invoked_subcommand is not None:
        return
    if yes and not heal:
        raise click.UsageError("--yes is for --heal.")
    span = _span(since, until, whole_day)
    wanted = Wanted(span, "json" if as_json else form, tell=heal and not yes, heal=who if yes else None)
    sys.exit(asyncio.run(_run(lambda settings: _reconcile(settings, wanted))))


@command.command("ack")
@click.argument("fingerprint", type=_Fingerprint())
@click.option("--reason", required=True, type=REASON, help="Why it is accepted as it is.")
@who_option
def ack(fingerprint: str, reason: str, who: Who) -> None:
    """Accept an open discrepancy as it is: it stays listed and leaves exit 0, until anything about it changes."""
    from service.foundation.postgres.migrate import check  # noqa: PLC0415  Alembic, only for this

    async def acknowledged(settings: Settings) -> int:
        engine = create_engine(settings, name="reconcile", pool=1)
        try:
            await check(engine)
            done = await acknowledge(engine, fingerprint, who=who, reason=reason)
        finally:
            await close(engine)
        click.echo(f"eo reconcile: {done.name} {done.fingerprint} is acknowledged by {who.actor}.", err=True)
        return exit_codes.OK

    sys.exit(asyncio.run(_run(acknowledged)))


def _span(since: datetime | None, until: datetime | None, whole_day: Span | None) -> Span:
    if whole_day is not None and (since or until):
        raise click.UsageError("--day is a window already: leave --since and --until out.")
    try:
        return whole_day or Span(since, until)
    except ValueError as error:
        raise click.UsageError(f"{error}. Swap --since and --until.") from error


async def _run(work: Callable[[Settings], Awaitable[int]]) -> int:
    try:
        return await work(Settings.from_env())
    except CutShort as error:
        return _say(error, exit_codes.INCOMPLETE)
    except Unavailable as error:
        return _say(error, exit_codes.AWAY)
    except (Misconfigured, NotFound) as error:
        return _say(error, exit_codes.USAGE)


def _say(error: EffectivelyOnceError, code: int) -> int:
    click.echo(f"eo reconcile: {error}", err=True)
    return code


async def _reconcile(settings: Settings, wanted: Wanted) -> int:
    from service.stripe_gateway.client import StripeGateway  # noqa: PLC0415  the SDK costs half a second, `--help` needs none
    from service.stripe_gateway.pacing import COMMANDS  # noqa: PLC0415

    # One connection holds the report, another heals what it lists.
    engine = create_engine(settings, name="reconcile", pool=2, statement_s=LONG_STATEMENT_S)
    try:
        async with StripeGateway(settings, replace(COMMANDS, say=_progress)) as gateway:
            account_id, _ = await gateway.account_id()
            await check_binding(engine, account_id, is_live=settings.stripe_is_live)
            healer = Healer(engine, gateway, settings, _progress)
            if (who := wanted.heal) is not None:
                await _compared(healer, wanted, lambda report: healer.heal(report, who=who))
            return await _compared(healer, wanted, lambda report: _shown(healer, report, wanted))
    finally:
        await close(engine)


async def _compared(healer: Healer, wanted: Wanted, use: Callable[[Report], Awaitable[None]]) -> int:
    settings = healer.settings
    grace_s, rules = settings.reconcile_grace_s, Rules.of(settings)
    try:
        async with reconcile(
            healer.engine,
            healer.gateway,
            wanted.span,
            grace_s=grace_s,
            rules=rules,
            progress=_progress,
            balance=healer.gateway,
        ) as report:
            await use(report)
            return _VERDICTS[report.verdict]
    except ValueError as error:  # raised where `--since` lies after `--until`, or after now
        raise Misconfigured(f"{error}. Give a --day or --since in the past.") from error


async def _shown(healer: Healer, report: Report, wanted: Wanted) -> None:
    await _print(report, wanted.form)
    if wanted.tell:
        await healer.preview(report)


async def _print(report: Report, form: str) -> None:
    async for piece in FORMATS[form](report):
        click.echo(piece, nl=False)


def _progress(words: str) -> None:
    click.echo(f"eo reconcile: {words}", err=True)
