"""Healing: books the successes that Stripe shows for the discrepancies of a report, one payment after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.reconcile.classes import HEALABLE
from service.reconcile.results import Discrepancy, Report
from service.recovery import Step, Verdict, heal
from service.stripe_gateway.objects import IncompleteListing

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway

_DONE = {Step.SETTLE: "settled", Step.ADOPT: "adopted"}


@dataclass(frozen=True, slots=True)
class Healer:
    """Heals the discrepancies of a report and says for each payment what was done."""

    engine: AsyncEngine
    gateway: "StripeGateway"
    settings: Settings
    say: Callable[[str], None]

    async def heal(self, report: Report, *, dry_run: bool) -> None:
        """Heal what can be healed; leave the rest as it is. `dry_run`: only say what would be done."""
        done = left = 0
        async for found in report.discrepancies():
            if found.name not in HEALABLE or found.payment_intent is None:
                continue
            verdict = await self._heal(found.payment_intent, dry_run=dry_run)
            done, left = (done + 1, left) if verdict.step in _DONE else (done, left + 1)
            self.say(_words(found, verdict, dry_run=dry_run))
        self.say(f"{done} {'could be ' if dry_run else ''}put right, {left} left for a human")

    async def _heal(self, intent_id: str, *, dry_run: bool) -> Verdict:
        try:
            return await heal(self.engine, self.gateway, self.settings, intent_id, dry_run=dry_run)
        except IncompleteListing as error:
            return Verdict(Step.REPORT, str(error))


def _words(found: Discrepancy, verdict: Verdict, *, dry_run: bool) -> str:
    about = f"{found.payment_intent}, order {found.order_id or '-'}"
    if verdict.step in _DONE:
        return f"{about}: {'would be ' if dry_run else ''}{_DONE[verdict.step]}"
    return f"{about}: left, {verdict.reason or 'a worker has it in its hands'}"
