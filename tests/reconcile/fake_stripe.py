"""A Stripe that answers a reconciliation from dictionaries."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from service.stripe_gateway.disputes import Dispute
from service.stripe_gateway.objects import BalanceTransaction, IncompleteListing, Intent, Refund
from service.stripe_gateway.payouts import Payout


class FakeStripe:
    """A gateway that answers from what it was given, newest first."""

    def __init__(self, intents: list[Intent], refunds: list[Refund] | None = None) -> None:
        self.intents = {i.id: i for i in intents}
        self.refunds = {r.id: r for r in refunds or []}
        self.disputes: dict[str, Dispute] = {}
        self.hidden_disputes: set[str] = set()
        self.disputes_away = False
        self.payouts: dict[str, Payout] = {}
        self.hidden_payouts: set[str] = set()
        self.hidden_refunds: set[str] = set()
        self.hidden_failures: set[str] = set()
        self.refunds_break = False
        self.breaks_after: int | None = None
        self.unreadable: set[str] = set()
        self.gone: set[str] = set()
        self.retrieved: list[str] = []

    async def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
        inside = [i for i in self.intents.values() if created_gte <= i.created < created_lt]
        for shown, found in enumerate(sorted(inside, key=lambda i: (-i.created, i.id))):
            if shown == self.breaks_after:
                break
            yield found
        if self.breaks_after is not None:
            raise IncompleteListing("a page of /v1/payment_intents could not be read: 500")

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        self.retrieved.append(intent_id)
        if intent_id in self.unreadable:
            raise IncompleteListing(f"PaymentIntent {intent_id} could not be read: 500")
        return self.intents.get(intent_id)

    async def list_refunds(
        self, *, created_gte: int | None = None, created_lt: int | None = None
    ) -> AsyncIterator[Refund]:
        gte, lt = created_gte or 0, created_lt or 2**62
        inside = [r for r in self.refunds.values() if gte <= r.created < lt and r.id not in self.hidden_refunds]
        for found in sorted(inside, key=lambda r: (-r.created, r.id)):
            yield found
        if self.refunds_break:
            raise IncompleteListing("a page of /v1/refunds could not be read: 500")

    async def list_refund_failures(self, created_gte: int, created_lt: int) -> AsyncIterator[BalanceTransaction]:
        failures = [
            replace(txn, source=refund.id)
            for refund in self.refunds.values()
            if isinstance(txn := refund.failure_balance_transaction, BalanceTransaction)
            and created_gte <= txn.created < created_lt
            and refund.id not in self.hidden_failures
        ]
        for found in sorted(failures, key=lambda txn: (-txn.created, txn.id)):
            yield found

    async def retrieve_refund(self, refund_id: str) -> Refund | None:
        self.retrieved.append(refund_id)
        if refund_id in self.unreadable:
            raise IncompleteListing(f"refund {refund_id} could not be read: 500")
        return None if refund_id in self.gone else self.refunds.get(refund_id)

    async def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[Dispute]:
        if self.disputes_away:
            raise IncompleteListing("a page of /v1/disputes could not be read: 500")
        shown = [d for d in self.disputes.values() if d.id not in self.hidden_disputes]
        for found in sorted(shown, key=lambda d: (-d.created, d.id)):
            if created_gte <= found.created < created_lt:
                yield found

    async def retrieve_dispute(self, dispute_id: str) -> Dispute | None:
        self.retrieved.append(dispute_id)
        return self.disputes.get(dispute_id)

    async def list_payouts(self, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        shown = [p for p in self.payouts.values() if p.id not in self.hidden_payouts]
        for found in sorted(shown, key=lambda p: (-p.created, p.id)):
            if created_gte <= found.created < created_lt:
                yield found

    async def retrieve_payout(self, payout_id: str) -> Payout | None:
        self.retrieved.append(payout_id)
        if payout_id in self.unreadable:
            raise IncompleteListing(f"/v1/payouts/{payout_id} could not be read: 500")
        return self.payouts.get(payout_id)
