"""What a page asks of Stripe: a run of the reconciliation, and healing one discrepancy, with a preview."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module

from service.audit import Action, Who, note
from service.console.acts import Say
from service.effects import Rules
from service.foundation.deadlines import LONG_STATEMENT_S
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.sql import begin
from service.foundation.settings import Settings
from service.reconcile import Discrepancy, Span, reconcile
from service.reconcile.healing import Healer
from service.recovery import Step, Verdict
from service.recovery.binding import check_binding

DUTY = "reconciling from the console"
WITHIN_S = 900.0  # a day of a large installation; longer ones are for `eo reconcile`
HEAL_WITHIN_S = 30.0  # one object of Stripe's is read, and its refunds
_CONNECTIONS = 2  # one holds the report, the other reads balances or heals


async def reconcile_now(settings: Settings, who: Who, say: Say) -> str:
    """Run the reconciliation that `eo reconcile` runs without options; the run's verdict."""
    async with _healer(settings, say) as healer:
        async with begin(healer.engine) as tx:
            await note(tx, who, Action.RECONCILE_RUN, "reconciliation")
        async with reconcile(
            healer.engine,
            healer.gateway,
            Span(),
            grace_s=settings.reconcile_grace_s,
            rules=Rules.of(settings),
            progress=say,
            balance=healer.gateway,
        ) as report:
            return f"ended: {report.verdict}"


async def foresee(settings: Settings, found: Discrepancy) -> Verdict:
    """What healing would do now. It reads at Stripe, and changes nothing. Raises Unavailable or TimeoutError."""
    async with asyncio.timeout(HEAL_WITHIN_S), _healer(settings, _quiet) as healer:
        return await healer.foresee(found) or _NOTHING


async def heal(settings: Settings, found: Discrepancy, *, who: Who, reason: str) -> Verdict:
    """Book what Stripe's own word proves of it. Raises Unavailable or TimeoutError."""
    async with asyncio.timeout(HEAL_WITHIN_S), _healer(settings, _quiet) as healer:
        return await healer.heal_one(found, who=who, reason=reason) or _NOTHING


_NOTHING = Verdict(Step.REPORT, "Stripe's word cannot put this class right")


@asynccontextmanager
async def _healer(settings: Settings, say: Say) -> AsyncIterator[Healer]:
    """Stripe and the database, for one act. Raises Misconfigured where it is the Stripe of another installation."""
    # In a thread: the import takes half a second, and requests are being served.
    client = await asyncio.to_thread(import_module, "service.stripe_gateway.client")
    pacing = await asyncio.to_thread(import_module, "service.stripe_gateway.pacing")
    engine = create_engine(settings, name="console reconcile", pool=_CONNECTIONS, statement_s=LONG_STATEMENT_S)
    try:
        async with client.StripeGateway(settings, replace(pacing.COMMANDS, say=say)) as gateway:
            account_id, _ = await gateway.account_id()
            await check_binding(engine, account_id, is_live=settings.stripe_is_live)
            yield Healer(engine, gateway, settings, say)
    finally:
        await close(engine)


def _quiet(_words: str) -> None:
    """Nobody reads the progress of a short act."""
