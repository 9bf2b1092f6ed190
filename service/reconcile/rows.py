"""Stripe's objects as rows of the staging tables. Pure.

Metadata that is not in our own spelling counts as none: it is somebody else's, or was tampered with (R19).
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.stripe_gateway.disputes import Dispute
from service.stripe_gateway.marks import read_marks, read_refund_marks
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent, Refund
from service.stripe_gateway.payouts import Payout

PAYMENT_COLUMNS = (
    "pi",
    "created",
    "amount",
    "received",
    "currency",
    "status",
    "account_id",
    "order_id",
    "attempt",
    "charge",
    "charged_at",
    "returned",
    "given_back",
    "disputed",
    "txn",
    "txn_amount",
    "fee",
    "txn_currency",
    "txn_created",
)

REFUND_COLUMNS = (
    "re",
    "created",
    "amount",
    "currency",
    "status",
    "pi",
    "charge",
    "account_id",
    "order_id",
    "refund_id",
    "txn",
    "txn_amount",
    "fee",
    "txn_currency",
    "txn_created",
    "failure_txn",
    "failure_amount",
    "failure_currency",
    "failure_created",
    "failure_type",
)

FAILURE_COLUMNS = ("txn", "re")

DISPUTE_COLUMNS = ("dp", "created", "amount", "currency", "status", "pi", "moved")

PAYOUT_COLUMNS = (
    "po",
    "created",
    "amount",
    "currency",
    "status",
    "arrival",
    "txn_amount",
    "txn_currency",
    "failure_txn",
    "failure_created",
)


MOVEMENT_COLUMNS = ("id", "created", "category", "balance_type", "amount", "fee", "currency")


def payment(intent: Intent) -> tuple[Any, ...]:
    """A PaymentIntent in the order of PAYMENT_COLUMNS."""
    charge = intent.latest_charge if isinstance(intent.latest_charge, Charge) else None
    txn = charge.balance_transaction if charge else None
    txn = txn if isinstance(txn, BalanceTransaction) else None
    return (
        intent.id,
        _time(intent.created),
        intent.amount,
        intent.amount_received,
        intent.currency,
        intent.status,
        *_attempt(intent.metadata),
        intent.charge_id,
        charge and _time(intent.charged_at or charge.created),
        charge.returned if charge else 0,
        charge.given_back if charge else 0,
        charge and charge.disputed,
        txn and txn.id,
        txn and txn.amount,
        txn and txn.fee,
        txn and txn.currency,
        txn and _time(txn.created),
    )


def refund(shown: Refund) -> tuple[Any, ...]:
    """A refund in the order of REFUND_COLUMNS."""
    txn_id, amount, fee, currency, created = _movement(shown.balance_transaction)
    failure = shown.failure_balance_transaction
    failure_id, failure_amount, _, failure_currency, failure_created = _movement(failure)
    return (
        shown.id,
        _time(shown.created),
        shown.amount,
        shown.currency,
        shown.status,
        shown.payment_intent,
        shown.charge,
        *_refund(shown.metadata),
        txn_id,
        amount,
        fee,
        currency,
        created,
        failure_id,
        failure_amount,
        failure_currency,
        failure_created,
        failure.type if isinstance(failure, BalanceTransaction) else None,
    )


def refund_failure(shown: BalanceTransaction) -> tuple[str, str | None]:
    """What a failed refund brought back, in the order of FAILURE_COLUMNS."""
    return shown.id, shown.source


def dispute(shown: Dispute) -> tuple[Any, ...]:
    """A dispute in the order of DISPUTE_COLUMNS."""
    return (
        shown.id,
        _time(shown.created),
        shown.amount,
        shown.currency,
        shown.status,
        shown.payment_intent,
        None if shown.moved_at is None else _time(shown.moved_at),
    )


def payout(shown: Payout) -> tuple[Any, ...]:
    """A payout in the order of PAYOUT_COLUMNS."""
    _, amount, _, currency, _ = _movement(shown.balance_transaction)
    failure_id, _, _, _, failed = _movement(shown.failure_balance_transaction)
    return (
        shown.id,
        _time(shown.created),
        shown.amount,
        shown.currency,
        shown.status,
        _time(shown.arrival_date),
        amount,
        currency,
        failure_id,
        failed,
    )


def movement(shown: BalanceTransaction) -> tuple[Any, ...]:
    """A movement of Stripe's balance in the order of MOVEMENT_COLUMNS."""
    return (
        shown.id,
        _time(shown.created),
        shown.reporting_category,
        shown.balance_type,
        shown.amount,
        shown.fee,
        shown.currency,
    )


def _attempt(metadata: dict[str, str]) -> tuple[UUID, UUID, int] | tuple[None, None, None]:
    marks = read_marks(metadata)
    return (None, None, None) if marks is None else (marks.account_id, marks.order_id, marks.attempt)


def _refund(metadata: dict[str, str] | None) -> tuple[UUID, UUID, UUID] | tuple[None, None, None]:
    marks = read_refund_marks(metadata)
    return (None, None, None) if marks is None else (marks.account_id, marks.order_id, marks.refund_id)


def _movement(
    txn: BalanceTransaction | str | None,
) -> tuple[str | None, int | None, int | None, str | None, datetime | None]:
    """Id, amount, fee, currency and moment; only the id where Stripe was not asked to expand it."""
    if isinstance(txn, BalanceTransaction):
        return txn.id, txn.amount, txn.fee, txn.currency, _time(txn.created)
    return txn, None, None, None, None


def _time(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
