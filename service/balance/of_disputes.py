"""Movements of a dispute: what a bank took while nobody had decided, and what it gave back."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from service import disputes, orders
from service.balance.explaining import Explained, Explainer, Explanation, Unexplained
from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import Money, Rate, dispute_entry
from service.stripe_gateway.objects import BalanceTransaction


class _Dispute(Record):
    id: str
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    amount_minor: int
    currency: str
    taken_minor: int
    settlement_currency: str | None
    settled_minor: int | None

    def principal(self, currency: str) -> int | None:
        """What is disputed, in the currency of Stripe's balance, at the rate of the charge; None where nobody knows."""
        if currency == self.currency:
            return self.amount_minor
        if currency != self.settlement_currency or self.settled_minor is None:
            return None
        return Rate(self.taken_minor, Money(self.settled_minor, currency)).of(self.amount_minor)


_DISPUTES = Statement("""
SELECT d.id, d.account_id, d.order_id, c.payment_intent_id, d.amount_minor, d.currency,
       coalesce(c.captured_minor, c.amount_minor) AS taken_minor, c.settlement_currency, c.settled_minor
  FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE d.id = ANY (CAST(:ids AS text[]))
""").returning(_Dispute)


class OfDisputes(Explainer):
    """Both ways, and what is lost for good where the dispute is decided already."""

    async def explain(
        self,
        tx: Connection,
        movements: Sequence[BalanceTransaction],
        default_account: UUID,  # noqa: ARG002  a dispute is of an order
    ) -> Mapping[str, Explanation]:
        """By the dispute that is their source. Its order is locked, as its settling does."""
        ids = [bt.source for bt in movements if bt.source]
        found = {row.id: row for row in await tx.rows(_DISPUTES, {"ids": ids})}
        await orders.lock(tx, [row.order_id for row in found.values()])
        return {bt.id: _explanation(bt, found.get(bt.source or "")) for bt in movements}

    async def booked(self, tx: Connection, movements: Sequence[tuple[BalanceTransaction, Explained]]) -> None:
        """What is lost of those that are decided is booked as lost."""
        await disputes.close(tx, sorted({bt.source for bt, _ in movements if bt.source}))


def _explanation(bt: BalanceTransaction, dispute: _Dispute | None) -> Explanation:
    if dispute is None:
        return Unexplained(why="its dispute is unknown here")
    if (principal := dispute.principal(bt.currency)) is None:
        why = "what its charge was settled at is not known yet"
        return Unexplained(why=why, account_id=dispute.account_id, order_id=dispute.order_id)
    entry = dispute_entry(
        dispute_id=dispute.id,
        principal_minor=principal,
        transaction=bt,
        customer=None if bt.currency == dispute.currency else Money(dispute.amount_minor, dispute.currency),
        account_id=dispute.account_id,
        order_id=dispute.order_id,
        payment_intent_id=dispute.payment_intent_id,
    )
    entries = () if entry is None else (entry,)
    return Explained(account_id=dispute.account_id, order_id=dispute.order_id, entries=entries)
