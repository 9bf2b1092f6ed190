"""Asking Stripe what this database may have forgotten, before anything is sent under a new life of it (R31).

Every PaymentIntent and refund of this installation, from now back to the life's bound, must be known here by its Stripe
id under its order. What is not is settled or adopted; what cannot be is reported, loudly, and stops nothing.
A listing of which a page is missing verifies nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges import CHARGE, judge_intent, known_intents
from service.effects import Settlement, prove_complete, settle
from service.effects.settling import is_about_content
from service.foundation import log
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.events import Event
from service.foundation.postgres.db import Refused
from service.foundation.settings import Settings
from service.recovery import lives
from service.recovery.adoption import Step, Verdict, fingerprint_of, judge
from service.recovery.findings import Findings, joined, said
from service.recovery.instance import instance_of
from service.recovery.knowing import Listed, what_is_known
from service.recovery.lives import Life
from service.recovery.paging import NO_END, Span, by_pages
from service.recovery.refund_verification import examine_refunds
from service.recovery.store import bring_back
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import Answer, IncompleteListing, Intent

if TYPE_CHECKING:  # the SDK costs half a second, and an api that only shows a life's state makes no call
    from service.stripe_gateway.client import StripeGateway

Progress = Callable[[Findings], None]
ANOTHER = "another process asks Stripe what this database may have forgotten"
_LISTED = Answer(http_status=200, note="listed")


class NotTheVerifier(Exception):
    """Another process lists for this life, or the database's life is another by now."""


async def verify(engine: AsyncEngine, gateway: "StripeGateway", settings: Settings) -> str | None:
    """Make sure that sending is allowed in this life. None: it is; else why not yet.

    One process at a time lists; the others are told so and ask again.
    """
    life = await lives.current(engine, settings)
    if not life.due:
        return None
    try:
        await recover(engine, gateway, settings, life)
    except IncompleteListing as error:
        log.event(Event.RECOVERY_INCOMPLETE, life=life.id, reason=str(error))
        return None if life.verified else f"Stripe could not be asked what this database may have forgotten: {error}"
    except NotTheVerifier as error:
        return None if life.verified else str(error)
    return None


async def recover(
    engine: AsyncEngine,
    gateway: "StripeGateway",
    settings: Settings,
    life: Life,
    *,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Findings:
    """List for `life`, alone, and allow sending in it. Raises IncompleteListing, NotTheVerifier."""
    verifier = uuid4()

    async def page_done(findings: Findings) -> None:
        if await lives.take(engine, settings, life, verifier, joined(life.found, findings)) is None:
            raise NotTheVerifier(ANOTHER)
        if progress is not None:
            progress(findings)

    began = await lives.take(engine, settings, life, verifier)
    if began is None:
        raise NotTheVerifier(ANOTHER)
    try:
        findings = await examine(engine, gateway, settings, life, since=since, between_pages=page_done)
    except BaseException:
        await lives.give_up(engine, verifier)
        raise
    found = said(life, findings)
    if not await lives.verified(engine, life, verifier, began=began, found=found):
        raise NotTheVerifier("the database began another life while Stripe was asked what it may have forgotten")
    return findings


BetweenPages = Callable[[Findings], Awaitable[None]]


async def examine(
    engine: AsyncEngine,
    gateway: "StripeGateway",
    settings: Settings,
    life: Life,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    between_pages: BetweenPages | None = None,
) -> Findings:
    """Compare Stripe's lists from now back to `since` (the life's bound) with this database, and bring back what is not
    here; a dry run only tells. Payments come first, for a refund is of one. Raises IncompleteListing.
    """
    findings = Findings()

    async def page_done() -> None:
        if between_pages is not None:
            await between_pages(findings)

    gte = int((since or life.bound).timestamp())
    span = Span(gte=gte, instance=await instance_of(engine), page_done=page_done, dry_run=dry_run)
    await _payments(engine, gateway, settings, life, span, findings)
    await examine_refunds(engine, gateway, settings, life, span, findings)
    return findings


async def _payments(
    engine: AsyncEngine, gateway: "StripeGateway", settings: Settings, life: Life, span: Span, findings: Findings
) -> None:
    missing = await known_intents(engine, span.gte, NO_END)
    async for page in by_pages(gateway.list_payment_intents, span.gte):
        findings.listed += len(page)
        missing.difference_update(intent.id for intent in page)
        ours = of_this_installation(page, span.instance)
        await _compare(engine, gateway, settings, life, ours, findings, dry_run=span.dry_run)
        await span.page_done()

    async def retrieve(intent_id: str) -> Intent | None:
        await span.page_done()
        return await gateway.retrieve_payment_intent(intent_id)

    await prove_complete(missing, retrieve)


async def _compare(
    engine: AsyncEngine,
    gateway: "StripeGateway",
    settings: Settings,
    life: Life,
    page: list[Listed],
    findings: Findings,
    *,
    dry_run: bool,
) -> None:
    """One page: what needs nothing is passed over by one statement, the rest is taken one by one."""
    if not page:
        return
    known = await what_is_known(engine, page)
    for listed, knows in zip(page, known, strict=True):
        if judge(listed.intent, listed.marks, knows).step is Step.NOTHING:
            continue
        one = await with_key(gateway, listed) if knows.order_id is None and knows.is_default else listed
        if dry_run:
            (again,) = await what_is_known(engine, [one])
            findings.add(one, judge(one.intent, one.marks, again))
            continue
        findings.add(one, await brought_back(engine, one, life, settings))


async def brought_back(engine: AsyncEngine, listed: Listed, life: Life, settings: Settings) -> Verdict:
    """What became of one PaymentIntent. One that cannot be stored is reported: Stripe's dashboard can edit any text."""
    crash_point(CrashPoint.RECOVERY_BEFORE_ADOPT, ["charge"])
    try:
        verdict, charge = await bring_back(engine, listed, life.id, settings)
    except (Refused, ValueError) as error:
        if not is_about_content(error):
            raise
        return Verdict(Step.REPORT, f"it cannot be stored ({type(error).__name__})")
    crash_point(CrashPoint.RECOVERY_AFTER_ADOPT, ["charge"])
    if charge is not None and _shows_its_moment(listed.intent):
        shown = Answer(http_status=200, intent=listed.intent)
        await settle(
            engine, CHARGE, [Settlement(charge, judge_intent(charge, listed.intent, shown), _LISTED)], settings
        )
    return verdict


def _shows_its_moment(intent: Intent) -> bool:
    """Not where the money was captured a moment ago: its worker then asks again, and is told the time (R28)."""
    return intent.status != "succeeded" or intent.capture_method != "manual" or intent.charged_at is not None


async def with_key(gateway: "StripeGateway", listed: Listed) -> Listed:
    """A PaymentIntent of before 0.2 bears no key; that of a first attempt stands verbatim in Stripe's event."""
    if listed.marks.key is not None or listed.marks.attempt != 1:
        return listed
    key = await gateway.key_of(listed.intent)
    if key is None:
        return listed
    return replace(listed, marks=replace(listed.marks, key=key, fingerprint=fingerprint_of(listed.intent)))


def of_this_installation(page: Sequence[Intent], instance: UUID) -> list[Listed]:
    """Those that bear our marks, and no other installation's."""
    marked = ((intent, read_marks(intent.metadata)) for intent in page)
    return [Listed(intent, marks) for intent, marks in marked if marks and marks.instance in (None, instance)]
