"""Looks up what became of charges and refunds whose answers were lost or refused.

One scan of payments serves all charges of a window (R18, R32); a refund is searched in the list of its payment's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import refunds
from service.charges import OpenCharge, Window, judge_lookup, known_intents, windows
from service.effects import Effect, Rules, Settlement, in_order, leasing, prove_complete
from service.foundation import log
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.recovery import note_alias
from service.refunds import OpenRefund
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import ACCOUNT, ATTEMPT, KEY, ORDER, read_marks
from service.stripe_gateway.objects import Answer, IncompleteListing, Intent, Refund
from workers.effects import kind_of

# A look-up that lists more PaymentIntents than this is incomplete and is tried again later.
_LOOKUP_MAX = 200_000


class LookUps:
    """The look-ups of one worker process."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._rules = Rules.of(settings)

    async def look_up(self, effects: Sequence[Effect]) -> list[Settlement[Effect]]:
        """Search Stripe's lists for these effects, renewing their leases meanwhile; returns a settlement for each.

        Raises TypeError for an effect that no list shows: left out it would wait without an end.
        """
        charges = [e for e in effects if isinstance(e, OpenCharge)]
        givings = [e for e in effects if isinstance(e, OpenRefund)]
        if others := [e for e in effects if not isinstance(e, OpenCharge | OpenRefund)]:
            raise TypeError(f"no list of Stripe's shows what became of {others[0]}")
        renewing = asyncio.create_task(self._keep_leases(charges, givings))
        try:
            return [*await self._charges(charges), *[await self._refund(refund) for refund in givings]]
        finally:
            renewing.cancel()

    async def _charges(self, charges: Sequence[OpenCharge]) -> list[Settlement[OpenCharge]]:
        search = _Search(charges)
        complete = True
        for window in windows(charges, self._rules):
            complete = await self._scan(window, search) and complete
        await self._note_aliases(search)
        return [self._settlement(charge, search, complete=complete) for charge in charges]

    async def _refund(self, refund: OpenRefund) -> Settlement[OpenRefund]:
        """Read the list of its payment's refunds: it is short, and immediately consistent at Stripe."""
        found: list[Refund] = []
        complete = True

        def ask(gte: int, lt: int) -> AsyncIterator[Refund]:
            return self._gateway.list_refunds(payment_intent=refund.payment_intent_id, created_gte=gte, created_lt=lt)

        try:
            missing = await refunds.known_refunds_of(self._engine, refund.order_id, refund.payment_intent_id)
            async for shown in in_order(ask, 0, _until(refund, self._rules)):
                missing.discard(shown.id)
                if refund.is_named_by(shown):
                    found.append(shown)
            await prove_complete(missing, self._gateway.retrieve_refund)
        except IncompleteListing as error:
            log.event(Event.CHARGE_LOOKUP_INCOMPLETE, reason=str(error))
            complete = False
        outcome = refunds.judge_lookup(refund, found, complete=complete, rules=self._rules)
        note = f"{len(found)} found, {'complete' if complete else 'inconclusive'} listing"
        return Settlement(refund, outcome, Answer(http_status=None, note=note))

    def _settlement(self, charge: OpenCharge, search: "_Search", *, complete: bool) -> Settlement[OpenCharge]:
        found = search.found[charge.id]
        # A payment with this attempt's metadata and another amount proves neither that ours ran nor that it did not.
        conclusive = complete and charge.id not in search.odd
        outcome = judge_lookup(charge, found, complete=conclusive, rules=self._rules)
        note = f"{len(found)} found, {'complete' if conclusive else 'inconclusive'} listing"
        return Settlement(charge, outcome, Answer(http_status=None, note=note))

    async def _scan(self, window: Window, search: "_Search") -> bool:
        """Read one window. False where a page could not be read, or a payment that must be listed was not (R35)."""
        try:
            missing = await known_intents(self._engine, window.gte, window.lt, window.customer)

            def ask(gte: int, lt: int) -> AsyncIterator[Intent]:
                return self._gateway.list_payment_intents(gte, lt, window.customer)

            async for intent in in_order(ask, window.gte, window.lt):
                missing.discard(intent.id)
                search.consider(intent)
                if search.seen >= _LOOKUP_MAX:
                    return False
            await prove_complete(missing, self._gateway.retrieve_payment_intent)
        except IncompleteListing as error:
            log.event(Event.CHARGE_LOOKUP_INCOMPLETE, reason=str(error))
            return False
        return True

    async def _note_aliases(self, search: "_Search") -> None:
        """Store the ids of forgotten orders whose payments were found, as other names of the repeated orders (R32)."""
        for charge, forgotten in search.forgotten_orders():
            await note_alias(self._engine, charge.account_id, forgotten, charge.order_id)

    async def _keep_leases(self, *effects: Sequence[Effect]) -> None:
        """Renew the leases until cancelled. Where that fails they run out, and another worker looks up (R21)."""
        while True:
            await asyncio.sleep(self._settings.charge_lease_s / 3)
            try:
                for of_kind in effects:
                    if of_kind:
                        await leasing.renew(self._engine, kind_of(of_kind[0]), of_kind, self._settings)
            except Exception as error:  # noqa: BLE001  a lease only saves calls
                log.event(Event.CHARGE_LEASE_NOT_RENEWED, **log.of_error(error))


def _until(refund: OpenRefund, rules: Rules) -> int:
    """Unix seconds before which Stripe's clock dates whatever was sent until the refund was opened (R28)."""
    return int(refund.opened_at.timestamp() + rules.clock_skew_max_s + rules.lease_s) + 1


class _Search:
    """What is looked for, and what was found.

    found: PaymentIntents per charge that are its own. odd: charges that are named by a PaymentIntent over another sum.
    """

    def __init__(self, charges: Sequence[OpenCharge]) -> None:
        self._by_order = {(str(c.order_id), str(c.attempt)): c for c in charges}
        self._by_key = {(str(c.account_id), c.marks.key, str(c.attempt)): c for c in charges}
        self.found: dict[UUID, list[Intent]] = {c.id: [] for c in charges}
        self.odd: set[UUID] = set()
        self.seen = 0

    def consider(self, intent: Intent) -> None:
        """Keep the PaymentIntent where it belongs to one of the charges."""
        self.seen += 1
        says = intent.metadata.get
        account, attempt = says(ACCOUNT, ""), says(ATTEMPT, "")
        named = self._by_order.get((says(ORDER, ""), attempt))
        charge = named or self._by_key.get((account, says(KEY), attempt))
        if charge is not None and charge.matches(intent):
            self.found[charge.id].append(intent)
        elif named is not None and account == str(named.account_id):
            self.odd.add(named.id)

    def forgotten_orders(self) -> Iterator[tuple[OpenCharge, UUID]]:
        """Yield each charge whose payment has another order's id in its metadata, with that id."""
        charges = {c.id: c for c in self._by_order.values()}
        for charge_id, intents in self.found.items():
            for intent in intents:
                marks = read_marks(intent.metadata)
                if marks is not None and marks.order_id != charges[charge_id].order_id:
                    yield charges[charge_id], marks.order_id
