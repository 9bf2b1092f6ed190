"""Asking Stripe what this database may have forgotten, before anything is sent under a new life of it (R31).

Every PaymentIntent of this installation, from now back to the life's bound, must be known here by its Stripe id under
its order and attempt. What is not is settled or adopted; what cannot be is reported, loudly, and stops nothing.
A listing of which a page is missing verifies nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges import CHARGE, judge_intent, known_intents
from service.effects import Settlement, in_order, prove_complete, settle
from service.effects.settling import is_about_content
from service.foundation import log
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.events import Event
from service.foundation.postgres.db import Refused
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import Settings
from service.recovery import lives
from service.recovery.adoption import Step, Verdict, fingerprint_of, judge
from service.recovery.findings import Findings, joined, said
from service.recovery.knowing import Listed, what_is_known
from service.recovery.lives import Life
from service.recovery.store import bring_back
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import Answer, ContradictoryListing, IncompleteListing, Intent

if TYPE_CHECKING:  # the SDK costs half a second, and an api that only shows a life's state makes no call
    from service.stripe_gateway.client import StripeGateway

Progress = Callable[[Findings], None]
ANOTHER = "another process asks Stripe what this database may have forgotten"
_LISTED = Answer(http_status=200, note="listed")
_NO_END = 4_102_444_800  # Unix seconds, the year 2100: a listing that ended now would trust this host's clock
_TOGETHER = 25  # PaymentIntents between two signs of life: each may cost a call and a transaction


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


async def examine(
    engine: AsyncEngine,
    gateway: "StripeGateway",
    settings: Settings,
    life: Life,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    between_pages: Callable[[Findings], Awaitable[None]] | None = None,
) -> Findings:
    """Compare Stripe's list from now back to `since` (the life's bound) with this database, and bring back what is not
    here; a dry run only tells. Raises IncompleteListing.
    """
    findings = Findings()
    gte = int((since or life.bound).timestamp())
    instance = await instance_of(engine)
    missing = await known_intents(engine, gte, _NO_END)
    async for page in _by_pages(_to_the_end(gateway, gte)):
        findings.listed += len(page)
        missing.difference_update(intent.id for intent in page)
        ours = _of_this_installation(page, instance)
        await _compare(engine, gateway, settings, life, ours, findings, dry_run=dry_run)
        if between_pages is not None:
            await between_pages(findings)

    async def retrieve(intent_id: str) -> Intent | None:
        if between_pages is not None:
            await between_pages(findings)
        return await gateway.retrieve_payment_intent(intent_id)

    await prove_complete(missing, retrieve)
    return findings


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
    crash_point(CrashPoint.RECOVERY_BEFORE_ADOPT)
    try:
        verdict, charge = await bring_back(engine, listed, life.id, settings)
    except (Refused, ValueError) as error:
        if not is_about_content(error):
            raise
        return Verdict(Step.REPORT, f"it cannot be stored ({type(error).__name__})")
    crash_point(CrashPoint.RECOVERY_AFTER_ADOPT)
    if charge is not None:
        shown = Answer(http_status=200, intent=listed.intent)
        await settle(
            engine, CHARGE, [Settlement(charge, judge_intent(charge, listed.intent, shown), _LISTED)], settings
        )
    return verdict


async def with_key(gateway: "StripeGateway", listed: Listed) -> Listed:
    """A PaymentIntent of before 0.2 bears no key; that of a first attempt stands verbatim in Stripe's event."""
    if listed.marks.key is not None or listed.marks.attempt != 1:
        return listed
    key = await gateway.key_of(listed.intent)
    if key is None:
        return listed
    return replace(listed, marks=replace(listed.marks, key=key, fingerprint=fingerprint_of(listed.intent)))


def _of_this_installation(page: list[Intent], instance: UUID) -> list[Listed]:
    """Those that bear our marks, and no other installation's."""
    marked = ((intent, read_marks(intent.metadata)) for intent in page)
    return [Listed(intent, marks) for intent, marks in marked if marks and marks.instance in (None, instance)]


async def _to_the_end(gateway: "StripeGateway", gte: int) -> AsyncIterator[Intent]:
    """From now back to `gte`. Where a page cannot be read it is asked again from the oldest second that was shown, so
    that a listing of thousands of pages needs each of them once; no progress means IncompleteListing.
    """
    lt, oldest = _NO_END, set[str]()
    while True:
        shown = lt
        try:
            async for intent in in_order(gateway.list_payment_intents, gte, lt):
                if intent.id in oldest:
                    continue
                if intent.created + 1 < shown:
                    shown, oldest = intent.created + 1, set()
                oldest.add(intent.id)
                yield intent
        except ContradictoryListing:
            raise  # nobody knows from where on it would have to be asked again
        except IncompleteListing:
            if shown == lt:
                raise
            lt = shown
        else:
            return


async def _by_pages(intents: AsyncIterator[Intent]) -> AsyncIterator[list[Intent]]:
    page: list[Intent] = []
    async for intent in intents:
        page.append(intent)
        if len(page) == _TOGETHER:
            yield page
            page = []
    yield page


class _Instance(Record):
    uuid: UUID


_INSTANCE = Statement("SELECT uuid FROM instance WHERE id = 1").returning(_Instance)


async def instance_of(engine: AsyncEngine) -> UUID:
    async with connect(engine) as connection:
        return (await connection.one(_INSTANCE)).uuid
