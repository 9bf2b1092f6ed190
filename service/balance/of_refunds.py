"""Movements of a refund: it books them itself when it is settled, under the lock of its order.

One of a charge in another currency is booked by its movement, where it was settled before its charge was booked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from service.balance.explaining import Explained, Explainer, Explanation, Unexplained
from service.foundation.postgres.sql import Connection, Record, Statement
from service.refunds import book_moved
from service.stripe_gateway.objects import BalanceTransaction


class _Refund(Record):
    stripe_refund_id: str
    account_id: UUID
    order_id: UUID
    balance_transaction_id: str | None
    failure_transaction_id: str | None


_REFUNDS = Statement("""
SELECT r.stripe_refund_id, r.account_id, r.order_id, r.balance_transaction_id, r.failure_transaction_id
  FROM accounts a
  JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = ANY (CAST(:sources AS text[]))
""").returning(_Refund)


class OfRefunds(Explainer):
    """What a refund took from the balance, and what one that failed brought back."""

    async def explain(
        self,
        tx: Connection,
        movements: Sequence[BalanceTransaction],
        default_account: UUID,  # noqa: ARG002  a refund is of an account of its own
    ) -> Mapping[str, Explanation]:
        """By the refund that is their source, once it names them: then it is settled and booked as they say."""
        sources = [bt.source for bt in movements if bt.source]
        refunds = {row.stripe_refund_id: row for row in await tx.rows(_REFUNDS, {"sources": sources})}
        found = {bt.id: _explanation(bt, refunds.get(bt.source or "")) for bt in movements}
        moved = [(bt.source, bt) for bt in movements if bt.source and isinstance(found[bt.id], Explained)]
        left = await book_moved(tx, moved) if moved else set()
        for refund, bt in moved:
            if refund in left:
                found[bt.id] = _waits(refunds[refund])
        return found


def _explanation(bt: BalanceTransaction, refund: _Refund | None) -> Explanation:
    if refund is None:
        return Unexplained(why="its refund is unknown here")
    if bt.id in (refund.balance_transaction_id, refund.failure_transaction_id):
        return Explained(account_id=refund.account_id, order_id=refund.order_id)
    return Unexplained(
        why="its refund is not settled as it says",
        account_id=refund.account_id,
        order_id=refund.order_id,
        read=refund.stripe_refund_id,
    )


def _waits(refund: _Refund) -> Unexplained:
    why = "its charge is settled in another currency and not booked yet, or the books say otherwise"
    return Unexplained(why=why, account_id=refund.account_id, order_id=refund.order_id)
