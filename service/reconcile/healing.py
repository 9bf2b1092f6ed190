"""Healing: books the successes that Stripe shows for the discrepancies of a report, one after the other."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit, disputes, payouts
from service.audit import Action, Deed, Who
from service.foundation.postgres.sql import begin
from service.foundation.settings import Settings
from service.reconcile.classes import HEALABLE, HEALABLE_DISPUTES, HEALABLE_PAYOUTS, HEALABLE_REFUNDS
from service.reconcile.results import Discrepancy, Report
from service.recovery import Step, Verdict, heal, heal_refund
from service.stripe_gateway.objects import IncompleteListing

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway

_Treat = Callable[[Discrepancy], Awaitable[Verdict | None]]
_DONE = {Step.SETTLE: "settled", Step.ADOPT: "adopted"}


@dataclass(frozen=True, slots=True)
class Healer:
    """Heals the discrepancies of a report and says for each payment, refund, dispute and payout what was done."""

    engine: AsyncEngine
    gateway: "StripeGateway"
    settings: Settings
    say: Callable[[str], None]

    async def preview(self, report: Report) -> None:
        """Say what `heal` would do, and do nothing."""
        await self._each(report, self.foresee, dry_run=True)

    async def heal(self, report: Report, *, who: Who) -> None:
        """Heal what can be healed; leave the rest as it is."""
        await self._each(report, partial(self.heal_one, who=who), dry_run=False)

    async def foresee(self, found: Discrepancy) -> Verdict | None:
        """What healing it would do; None where Stripe's word cannot put it right."""
        return await self._verdict(found, dry_run=True)

    async def heal_one(self, found: Discrepancy, *, who: Who, reason: str | None = None) -> Verdict | None:
        """Heal it where Stripe's word can. The note of it is committed first, because healing is several transactions.

        None where Stripe's word cannot put it right.
        """
        foreseen = await self.foresee(found)
        if foreseen is None or foreseen.step not in _DONE:
            return foreseen
        async with begin(self.engine) as tx:
            await audit.note_each(tx, who, Action.DISCREPANCY_HEAL, [_deed(found, foreseen)], reason=reason)
        return await self._verdict(found, dry_run=False)

    async def _each(self, report: Report, treat: _Treat, *, dry_run: bool) -> None:
        done = left = 0
        async for found in report.discrepancies():
            verdict = await treat(found)
            if verdict is None:
                continue
            done, left = (done + 1, left) if verdict.step in _DONE else (done, left + 1)
            self.say(_words(found, verdict, dry_run=dry_run))
        self.say(f"{done} {'could be ' if dry_run else ''}put right, {left} left for a human")

    async def _verdict(self, found: Discrepancy, *, dry_run: bool) -> Verdict | None:
        """What was done, or would be; None where Stripe's word cannot put it right."""
        try:
            if found.name in HEALABLE and found.payment_intent is not None:
                return await heal(self.engine, self.gateway, self.settings, found.payment_intent, dry_run=dry_run)
            if found.name in HEALABLE_REFUNDS and found.refund is not None:
                return await heal_refund(self.engine, self.gateway, self.settings, found.refund, dry_run=dry_run)
            if found.name in HEALABLE_DISPUTES and found.dispute is not None:
                return await self._follow_dispute(found.dispute, dry_run=dry_run)
            if found.name in HEALABLE_PAYOUTS and found.payout is not None:
                return await self._follow(found.payout, dry_run=dry_run)
        except IncompleteListing as error:
            return Verdict(Step.REPORT, str(error))
        return None

    async def _follow_dispute(self, dispute_id: str, *, dry_run: bool) -> Verdict:
        shown = await disputes.DisputeSweep().retrieve(self.gateway, dispute_id)
        if shown is None:
            return Verdict(Step.REPORT, "Stripe has no such dispute")
        if (why := await disputes.why_not(self.engine, shown.shown)) is not None:
            return Verdict(Step.REPORT, why)
        if not dry_run:
            await disputes.settle(self.engine, [shown])
        return Verdict(Step.SETTLE)

    async def _follow(self, payout_id: str, *, dry_run: bool) -> Verdict:
        shown = await self.gateway.retrieve_payout(payout_id)
        if shown is None:
            return Verdict(Step.REPORT, "Stripe has no such payout")
        if shown.flaw or not await payouts.may_follow(self.engine, shown):
            return Verdict(Step.REPORT, shown.flaw or "ours has ended otherwise, or is of another sum")
        if not dry_run:
            await payouts.settle(self.engine, [shown])
        return Verdict(Step.SETTLE)


def _deed(found: Discrepancy, foreseen: Verdict) -> Deed:
    ids = {"payment_intent": found.payment_intent, "refund": found.refund}
    ids |= {"dispute": found.dispute, "payout": found.payout}
    before = {"class": found.name} | {name: known for name, known in ids.items() if known is not None}
    return Deed(found.fingerprint, found.order_id, before, {"healing": _DONE[foreseen.step]})


def _words(found: Discrepancy, verdict: Verdict, *, dry_run: bool) -> str:
    refund = f"refund {found.refund} of " if found.refund else ""
    about = f"{refund}{found.payment_intent or 'a payment'}, order {found.order_id or '-'}"
    if found.dispute is not None:
        about = f"dispute {found.dispute} of {about}"
    if found.payout is not None:
        about = f"payout {found.payout}"
    if verdict.step in _DONE:
        return f"{about}: {'would be ' if dry_run else ''}{_DONE[verdict.step]}"
    return f"{about}: left, {verdict.reason or 'a worker has it in its hands'}"
