"""What may be told of refunds: of an order's last payment, on both sides or on one of them."""

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from service import ledger
from service.stripe_gateway.objects import BalanceTransaction, Charge, Refund
from tests.reconcile.world import OrderRow, RefundRow, Story, numbers


def made_refund(
    story: Story, at: datetime, amount: int, *, status: str = "succeeded", metadata: dict[str, str] | None = None
) -> Refund:
    """A refund of this order's last payment as Stripe shows it; the payment shows it, too."""
    n, created = next(numbers), int(at.timestamp())
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    moves, made_in = status in ("succeeded", "failed"), story.intent.currency
    made = Refund(
        id=f"re_{n}", created=created, amount=amount, currency=story.intent.currency, status=status,
        payment_intent=story.intent.id, charge=charge.id, metadata=metadata or {},
        balance_transaction=_movement(f"txn_re{n}", -amount, made_in, created, "refund") if moves else None,
        failure_balance_transaction=_movement(f"txn_back{n}", amount, made_in, created, "refund_failure")
        if status == "failed" else None,
    )  # fmt: skip
    if status not in ("failed", "canceled"):
        back = charge.amount_refunded + amount
        story.at_stripe(latest_charge=replace(charge, amount_refunded=back, refunded=back >= charge.amount))
    story.refunded.append(made)
    return made


def _movement(txn: str, amount: int, currency: str, created: int, kind: str) -> BalanceTransaction:
    return BalanceTransaction(id=txn, amount=amount, fee=0, net=amount, currency=currency, created=created, type=kind)


def fails(story: Story, at: datetime) -> None:
    """The last refund fails at Stripe now, whatever it was; we have not heard of it."""
    refund, n = story.refunded[-1], next(numbers)
    back = _movement(f"txn_back{n}", refund.amount, refund.currency, int(at.timestamp()), "refund_failure")
    story.refund_at_stripe(status="failed", failure_reason="unknown", failure_balance_transaction=back)


def book_failure(story: Story) -> None:
    """We have heard of it: the last refund is failed here, too, and the customer is owed."""
    row, (*_, booked) = (
        story.refund,
        ledger.refund_entries(
            account_id=story.order.account_id,
            order_id=story.order.id,
            refund=story.refunded[-1],
            drawn_minor=0,
            of_duplicate=False,
        ),
    )
    back = story.refunded[-1].failure_balance_transaction
    assert isinstance(back, BalanceTransaction)
    row.status, row.failure_txn, row.updated_at = "failed", back.id, booked.occurred_at
    story.order.owed += row.amount
    story.entries.append(booked)


def marks_of(order: OrderRow, refund_id: UUID) -> dict[str, str]:
    """Our metadata, as every refund of ours bears it."""
    return {"eo_account": str(order.account_id), "eo_order": str(order.id), "eo_refund": str(refund_id)}


def unsent(story: Story, at: datetime, amount: int = 500, status: str = "pending") -> RefundRow:
    """A refund that was asked for here, of which Stripe does not know."""
    row = RefundRow(charge=story.charge, status=status, amount=amount, currency=story.order.currency, at=at)
    story.refunds.append(row)
    return row


def give_back(story: Story, at: datetime, amount: int = 500, *, status: str = "succeeded", drawn: int = 0) -> RefundRow:
    """A refund of this order's last payment on all three sides, in Stripe's word for its status."""
    row = unsent(story, at, amount, "processing" if status == "pending" else status)
    made = made_refund(story, at, amount, status=status, metadata=marks_of(story.order, row.id))
    row.re, row.stripe_created, row.drawn = made.id, at, drawn
    txn, failure = made.balance_transaction, made.failure_balance_transaction
    row.txn = txn.id if isinstance(txn, BalanceTransaction) else None
    row.failure_txn = failure.id if isinstance(failure, BalanceTransaction) else None
    of_duplicate = story.charge.status == "duplicate"
    if status in ("failed", "canceled") and not of_duplicate:
        story.order.owed += amount
    story.order.owed -= drawn
    story.entries += ledger.refund_entries(
        account_id=story.order.account_id,
        order_id=story.order.id,
        refund=made,
        drawn_minor=drawn,
        of_duplicate=of_duplicate,
    )
    return row
