"""`eo reconcile`: data on stdout, progress on stderr, and an exit code that can be trusted."""

import asyncio
import sys
from datetime import datetime
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncEngine

from service.binding import check_binding
from service.db import create_engine
from service.errors import EffectivelyOnceError, Misconfigured, Unavailable
from service.reconcile.report import FORMATS
from service.reconcile.run import CutShort, Report, reconcile
from service.reconcile.window import Span, day, instant
from service.settings import Settings

EXIT_CLEAN, EXIT_DISCREPANCIES, EXIT_USAGE, EXIT_NOT_BEGUN, EXIT_INCOMPLETE = range(5)
_VERDICTS = {"clean": EXIT_CLEAN, "discrepancies": EXIT_DISCREPANCIES, "incomplete": EXIT_INCOMPLETE}


class _Moment(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else instant(value)
        except ValueError:
            self.fail("is not an ISO 8601 instant such as 2026-11-24T00:00:00Z.", param, ctx)


class _Day(click.ParamType[Span]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        try:
            return value if isinstance(value, Span) else day(value)
        except ValueError:
            self.fail("is not a day such as 2026-11-24.", param, ctx)


@click.command("reconcile", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--since", type=_Moment(), metavar="ISO", help="First instant of the window; UTC unless it says otherwise."
)
@click.option("--until", type=_Moment(), metavar="ISO", help="End of the window, not part of it. Default: now.")
@click.option("--day", "whole_day", type=_Day(), metavar="YYYY-MM-DD", help="A whole UTC day instead.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    since: datetime | None, until: datetime | None, whole_day: Span | None, form: str, *, as_json: bool
) -> None:
    """Compare our orders, our ledger and Stripe's own list, and name every difference.

    The window is on Stripe's `created`; without one it is the last 48 hours. Nothing is changed anywhere.

    Exit: 0 clean (what is in flight is shown) · 1 discrepancies · 2 usage · 3 could not begin, a dependency is away ·
    4 began and could not read everything, so the result is neither.
    """
    span = _span(since, until, whole_day)
    sys.exit(asyncio.run(_run(span, "json" if as_json else form)))


def _span(since: datetime | None, until: datetime | None, whole_day: Span | None) -> Span:
    if whole_day is not None and (since or until):
        raise click.UsageError("--day is a window already: leave --since and --until out.")
    try:
        return whole_day or Span(since, until)
    except ValueError as error:
        raise click.UsageError(f"{error}. Swap --since and --until.") from error


async def _run(span: Span, form: str) -> int:
    try:
        settings = Settings.from_env()
        return await _reconcile(settings, span, form)
    except CutShort as error:
        return _say(error, EXIT_INCOMPLETE)
    except Unavailable as error:
        return _say(error, EXIT_NOT_BEGUN)
    except Misconfigured as error:
        return _say(error, EXIT_USAGE)


def _say(error: EffectivelyOnceError, code: int) -> int:
    click.echo(f"eo reconcile: {error}", err=True)
    return code


async def _reconcile(settings: Settings, span: Span, form: str) -> int:
    from service.pacing import COMMANDS  # noqa: PLC0415
    from service.stripe_gateway import StripeGateway  # noqa: PLC0415  the SDK costs half a second, `--help` needs none

    engine = create_engine(settings, name="reconcile", pool=1)
    try:
        async with StripeGateway(settings, COMMANDS) as gateway:
            account_id, _ = await gateway.account_id()
            await check_binding(engine, account_id, is_live=settings.stripe_is_live)
            return await _report(engine, gateway, span, settings.reconcile_grace_s, form)
    finally:
        await engine.dispose()


async def _report(engine: AsyncEngine, gateway: Any, span: Span, grace_s: int, form: str) -> int:
    try:
        async with reconcile(engine, gateway, span, grace_s=grace_s, progress=_progress) as report:
            await _print(report, form)
            return _VERDICTS[report.verdict]
    except ValueError as error:  # the window lies behind its own end, seen from now
        raise Misconfigured(f"{error}. Give a --since in the past.") from error


async def _print(report: Report, form: str) -> None:
    async for piece in FORMATS[form](report):
        click.echo(piece, nl=False)


def _progress(words: str) -> None:
    click.echo(f"eo reconcile: {words}", err=True)
