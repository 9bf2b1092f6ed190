"""What may be told of a payment that Stripe's balance got in another currency, and of its refund."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from service import ledger
from service.ledger.exchanging import Worth
from service.stripe_gateway.objects import BalanceTransaction, Refund
from tests.reconcile.refund_stories import made_refund, marks_of, unsent
from tests.reconcile.world import RefundRow, Story, paid

ARRIVES_IN = "eur"


def paid_elsewhere(account_id: UUID, at: datetime, amount: int) -> Story:
    """Paid in USD, of which Stripe's balance got 85 % in EUR, less a fee of three cents; Stripe agrees."""
    story, got = paid(account_id, at, amount), ledger.Money(amount * 17 // 20, ARRIVES_IN)
    story.fee_at_stripe(currency=got.currency, amount=got.minor, fee=3)
    story.charge.settled = got
    common: dict[str, Any] = {
        "account_id": account_id, "order_id": story.order.id, "payment_intent_id": story.charge.pi,
        "currency": got.currency, "occurred_at": at,
    }  # fmt: skip
    fee = ledger.fee_entry(balance_transaction_id=story.charge.txn or "", fee_minor=3, **common)
    assert fee is not None
    customer = ledger.Money(amount, story.order.currency)
    charge = ledger.charge_entry(
        stripe_charge_id=story.charge.charge or "", amount_minor=got.minor, customer=customer, **common
    )
    story.entries = [charge, fee]
    return story


def given_back_elsewhere(account_id: UUID, at: datetime, amount: int, *, status: str = "succeeded") -> Story:
    """Half of it went back, at a rate that had moved: on all three sides, in Stripe's word for its status."""
    story = paid_elsewhere(account_id, at, amount)
    give_back_elsewhere(story, at, amount // 2, status=status)
    return story


def give_back_elsewhere(story: Story, at: datetime, amount: int, *, status: str = "succeeded") -> RefundRow:
    """A refund of this order's last payment on all three sides, whose money moved at 90 %."""
    row = unsent(story, at, amount, "processing" if status == "pending" else status)
    made_refund(story, at, amount, status=status, metadata=marks_of(story.order, row.id))
    made = story.refunded[-1] = _at_another_rate(story.refunded[-1])
    row.re, row.stripe_created, row.promised = made.id, at, amount * 17 // 20
    txn, failure = made.balance_transaction, made.failure_balance_transaction
    row.txn = txn.id if isinstance(txn, BalanceTransaction) else None
    row.failure_txn = failure.id if isinstance(failure, BalanceTransaction) else None
    if status in ("failed", "canceled"):
        story.order.owed += amount
    story.entries += ledger.refund_entries(
        account_id=story.order.account_id,
        order_id=story.order.id,
        refund=made,
        drawn_minor=0,
        of_duplicate=False,
        worth=Worth(ARRIVES_IN, row.promised, 0),
    )
    return row


def _at_another_rate(refund: Refund) -> Refund:
    return replace(
        refund,
        balance_transaction=_moved(refund.balance_transaction, -1, refund.amount * 9 // 10),
        failure_balance_transaction=_moved(refund.failure_balance_transaction, 1, refund.amount * 9 // 10),
    )


def _moved(movement: BalanceTransaction | str | None, sign: int, minor: int) -> BalanceTransaction | None:
    if not isinstance(movement, BalanceTransaction):
        return None
    return replace(movement, amount=sign * minor, net=sign * minor - movement.fee, currency=ARRIVES_IN)
