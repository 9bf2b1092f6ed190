"""Movements that are Stripe's own: its fees that are no single payment's, tax on them, and what it holds in reserve."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from service.balance.explaining import Explained, Explainer, Explanation
from service.foundation.postgres.sql import Connection
from service.ledger import movement_of, reserve_entry, stripe_fee_entry
from service.stripe_gateway.objects import BalanceTransaction


class OfStripe(Explainer):
    """They are of no order, so they are the default account's."""

    async def explain(
        self,
        tx: Connection,  # noqa: ARG002  they explain themselves
        movements: Sequence[BalanceTransaction],
        default_account: UUID,
    ) -> Mapping[str, Explanation]:
        """By what they are."""
        return {bt.id: _explanation(bt, default_account) for bt in movements}


def _explanation(bt: BalanceTransaction, default_account: UUID) -> Explained:
    make = reserve_entry if movement_of(bt) == "reserve" else stripe_fee_entry
    entry = make(transaction=bt, account_id=default_account, order_id=None, payment_intent_id=None)
    return Explained(account_id=default_account, order_id=None, entries=() if entry is None else (entry,))
