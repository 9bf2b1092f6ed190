"""Refunds that this database may have forgotten, and those made at Stripe past us, booked as Stripe shows them."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import prove_complete
from service.effects.settling import BookedDifferently, is_about_content
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.postgres.db import Refused
from service.foundation.settings import Settings
from service.recovery.adoption import Step, Verdict
from service.recovery.findings import Findings
from service.recovery.lives import Life
from service.recovery.paging import NO_END, Span, by_pages
from service.recovery.refund_adoption import ListedRefund, judge_listed
from service.recovery.refund_knowing import what_is_known
from service.recovery.refund_rows import bring_back
from service.refunds import known_refunds
from service.stripe_gateway.objects import Refund

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway


async def examine_refunds(
    engine: AsyncEngine, gateway: "StripeGateway", settings: Settings, life: Life, span: Span, findings: Findings
) -> None:
    """Compare Stripe's list of refunds with this database, and bring back what is not here. Raises IncompleteListing.

    The oldest first, and once all are listed: a refund draws on what an earlier one that failed has left owed.
    """

    def ask(gte: int, lt: int) -> AsyncIterator[Refund]:
        return gateway.list_refunds(created_gte=gte, created_lt=lt)

    async def retrieve(refund_id: str) -> Refund | None:
        await span.page_done()
        return await gateway.retrieve_refund(refund_id)

    news: list[tuple[ListedRefund, Verdict]] = []
    missing = await known_refunds(engine, span.gte, NO_END)
    async for page in by_pages(ask, span.gte):
        missing.difference_update(shown.id for shown in page)
        news += await _news(engine, page, span, findings)
        await span.page_done()
    await prove_complete(missing, retrieve)
    for listed, verdict in reversed(news):
        findings.add_refund(
            listed, verdict if span.dry_run else await refund_brought_back(engine, listed, life, settings)
        )
        await span.page_done()


async def _news(
    engine: AsyncEngine, page: list[Refund], span: Span, findings: Findings
) -> list[tuple[ListedRefund, Verdict]]:
    """Those that are to be brought back; a dry run counts those of the payments that would be."""
    ours = [listed for shown in page if (listed := ListedRefund.of(shown, span.instance)) is not None]
    if not ours:
        return []
    known = await what_is_known(engine, ours)
    verdicts = [
        Verdict(Step.ADOPT)
        if span.dry_run and listed.shown.payment_intent in findings.intents
        else judge_listed(listed, knows)
        for listed, knows in zip(ours, known, strict=True)
    ]
    return [(one, verdict) for one, verdict in zip(ours, verdicts, strict=True) if verdict.step is not Step.NOTHING]


async def refund_brought_back(engine: AsyncEngine, listed: ListedRefund, life: Life, settings: Settings) -> Verdict:
    """What became of one refund. One that cannot be stored or booked is reported."""
    crash_point(CrashPoint.RECOVERY_BEFORE_ADOPT, ["refund"])
    try:
        verdict = await bring_back(engine, listed, life.id, settings)
    except (Refused, BookedDifferently, ValueError) as error:
        if not is_about_content(error):
            raise
        return Verdict(Step.REPORT, f"it cannot be stored ({type(error).__name__})")
    crash_point(CrashPoint.RECOVERY_AFTER_ADOPT, ["refund"])
    return verdict
