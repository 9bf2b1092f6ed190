"""Movements of a payout: the money left for the bank, or came back."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from service.balance.explaining import Explained, Explainer, Explanation, Unexplained
from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import Money, movement_of, payout_entry, payout_failed_entry
from service.stripe_gateway.objects import BalanceTransaction


class _Payout(Record):
    id: str
    account_id: UUID
    amount_minor: int
    currency: str


_PAYOUTS = Statement("""
SELECT id, account_id, amount_minor, currency FROM payouts WHERE id = ANY (CAST(:ids AS text[]))
""").returning(_Payout)


class OfPayouts(Explainer):
    """Both ways: what left Stripe's balance, and what of it came back."""

    async def explain(
        self,
        tx: Connection,
        movements: Sequence[BalanceTransaction],
        default_account: UUID,  # noqa: ARG002  the payout's row says whose it is
    ) -> Mapping[str, Explanation]:
        """By the payout that is their source."""
        ids = [bt.source for bt in movements if bt.source]
        payouts = {row.id: row for row in await tx.rows(_PAYOUTS, {"ids": ids})}
        return {bt.id: _explanation(bt, payouts.get(bt.source or "")) for bt in movements}


def _explanation(bt: BalanceTransaction, payout: _Payout | None) -> Explanation:
    if payout is None:
        return Unexplained(why="its payout is unknown here")
    make = payout_entry if movement_of(bt) == "payout" else payout_failed_entry
    try:
        paid = Money(payout.amount_minor, payout.currency)
        entry = make(account_id=payout.account_id, payout_id=payout.id, paid=paid, transaction=bt)
    except ValueError as error:  # it is of another sum or currency: no such payout has been seen
        return Unexplained(why=str(error), account_id=payout.account_id, is_contradiction=True)
    return Explained(account_id=payout.account_id, order_id=None, entries=() if entry is None else (entry,))
