"""Two sides that a reconciliation can be shown: rows of ours, and what Stripe has.

A `Story` is one order as it stands on both sides when everything went well; a test then breaks what it wants broken.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from service import ledger
from service.ledger import JournalEntry
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent, Refund

numbers = count(1)
HOUR = timedelta(hours=1)


@dataclass(kw_only=True)
class OrderRow:
    account_id: UUID
    status: str
    amount: int
    currency: str
    at: datetime
    pi: str | None = None
    id: UUID = field(default_factory=uuid7)
    updated_at: datetime | None = None
    capture: str = "automatic"
    owed: int = 0


@dataclass(kw_only=True)
class ChargeRow:
    order: OrderRow
    status: str
    amount: int
    currency: str
    at: datetime
    attempt: int = 1
    pi: str | None = None
    charge: str | None = None
    txn: str | None = None
    stripe_created: datetime | None = None
    updated_at: datetime | None = None
    taken: int | None = None
    asked_for_at: datetime | None = None  # when its capture or cancellation was asked for, which is still under way
    settled: ledger.Money | None = None  # what Stripe's balance got, where that is another currency
    id: UUID = field(default_factory=uuid7)


@dataclass(kw_only=True)
class RefundRow:
    charge: ChargeRow
    status: str
    amount: int
    currency: str
    at: datetime
    re: str | None = None
    txn: str | None = None
    failure_txn: str | None = None
    drawn: int = 0
    stripe_created: datetime | None = None
    updated_at: datetime | None = None
    parked: str | None = None
    asked_at: datetime | None = None  # when it is asked for again
    promised: int | None = None  # what is owed by it in the currency of Stripe's balance, where that is another one
    id: UUID = field(default_factory=uuid7)


@dataclass
class Story:
    order: OrderRow
    charges: list[ChargeRow] = field(default_factory=list)
    entries: list[JournalEntry] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    parked: str | None = None
    promised: bool = False
    promises: str = "charge"
    asked_at: datetime | None = None  # when it is asked for again
    refunds: list[RefundRow] = field(default_factory=list)
    refunded: list[Refund] = field(default_factory=list)  # as Stripe shows them

    @property
    def refund(self) -> RefundRow:
        return self.refunds[-1]

    def refund_at_stripe(self, **changes: Any) -> None:
        """Stripe tells the last refund differently."""
        self.refunded[-1] = replace(self.refunded[-1], **changes)

    @property
    def charge(self) -> ChargeRow:
        return self.charges[-1]

    @property
    def intent(self) -> Intent:
        return self.intents[-1]

    def at_stripe(self, **changes: Any) -> None:
        """Stripe tells the last PaymentIntent differently."""
        self.intents[-1] = replace(self.intents[-1], **changes)

    def fee_at_stripe(self, **changes: Any) -> None:
        """Stripe tells the last balance transaction differently; its net follows."""
        charge = self.intents[-1].latest_charge
        assert isinstance(charge, Charge)
        assert isinstance(charge.balance_transaction, BalanceTransaction)
        told = replace(charge.balance_transaction, **changes)
        told = replace(told, net=changes.get("net", told.amount - told.fee))
        self.at_stripe(latest_charge=replace(charge, balance_transaction=told))


def intent(
    at: datetime,
    amount: int = 1999,
    currency: str = "usd",
    *,
    fee: int | None = 88,
    metadata: dict[str, str] | None = None,
) -> Intent:
    """A PaymentIntent that succeeded at `at`; `fee` None: its balance transaction is still to come."""
    n, created = next(numbers), int(at.timestamp())
    txn = fee if fee is None else BalanceTransaction(
        id=f"txn_{n}", amount=amount, fee=fee, net=amount - fee, currency=currency, created=created, type="charge"
    )  # fmt: skip
    charge = Charge(
        id=f"ch_{n}", created=created, amount=amount, currency=currency, status="succeeded", captured=True,
        balance_transaction=txn,
    )  # fmt: skip
    return Intent(
        id=f"pi_{n}", created=created, amount=amount, amount_received=amount, currency=currency, status="succeeded",
        metadata=metadata or {}, latest_charge=charge,
    )  # fmt: skip


def names(order: OrderRow, attempt: int = 1) -> dict[str, str]:
    """Our metadata, as every PaymentIntent of ours bears it."""
    return {"eo_account": str(order.account_id), "eo_order": str(order.id), "eo_attempt": str(attempt)}


def without_fee(story: Story) -> Story:
    """The story as it is while Stripe has not booked the fee."""
    story.entries.pop()
    story.charge.txn = None
    return story


def waiting(account_id: UUID, at: datetime, amount: int = 1999, currency: str = "usd") -> Story:
    """Accepted, nothing sent yet."""
    return Story(
        OrderRow(account_id=account_id, status="pending", amount=amount, currency=currency, at=at), promised=True
    )


def paid(account_id: UUID, at: datetime, amount: int = 1999, currency: str = "usd", fee: int = 88) -> Story:
    """Charged, booked, fee booked; Stripe agrees."""
    story = waiting(account_id, at, amount, currency)
    story.promised = False
    success(story, at, fee=fee)
    return story


def success(story: Story, at: datetime, *, fee: int = 88, duplicate: bool = False) -> None:
    """One more attempt of this order that succeeded, on all three sides."""
    order, attempt = story.order, len(story.charges) + 1
    made = intent(at, order.amount, order.currency, fee=fee, metadata=names(order, attempt))
    story.intents.append(made)
    assert isinstance(made.latest_charge, Charge)
    txn = made.latest_charge.balance_transaction
    assert isinstance(txn, BalanceTransaction)
    story.charges.append(
        ChargeRow(
            order=order, status="duplicate" if duplicate else "succeeded", amount=order.amount, currency=order.currency,
            at=at, attempt=attempt, pi=made.id, charge=made.charge_id, txn=txn.id, stripe_created=at,
        )
    )  # fmt: skip
    order.status, order.pi = "paid", order.pi or made.id
    make = ledger.duplicate_entry if duplicate else ledger.charge_entry
    common: dict[str, Any] = {
        "account_id": order.account_id, "order_id": order.id, "payment_intent_id": made.id,
        "currency": order.currency, "occurred_at": at,
    }  # fmt: skip
    story.entries.append(make(stripe_charge_id=made.latest_charge.id, amount_minor=order.amount, **common))
    booked = ledger.fee_entry(balance_transaction_id=txn.id, fee_minor=fee, **common)
    if booked is not None:
        story.entries.append(booked)


def declined(account_id: UUID, at: datetime, amount: int = 1999, currency: str = "usd") -> Story:
    """Sent, refused by the bank; Stripe agrees."""
    story = waiting(account_id, at, amount, currency)
    story.promised = False
    refused = intent(at, amount, currency, metadata=names(story.order))
    story.intents.append(replace(refused, status="requires_payment_method", amount_received=0, latest_charge=None))
    story.charges.append(
        ChargeRow(
            order=story.order,
            status="declined",
            amount=amount,
            currency=currency,
            at=at,
            pi=refused.id,
            stripe_created=at,
        )
    )
    story.order.status, story.order.pi = "failed", refused.id
    return story


def unknown(account_id: UUID, at: datetime, amount: int = 1999, currency: str = "usd") -> Story:
    """Sent, and the reply was lost before we learnt an id; Stripe never saw it."""
    story = waiting(account_id, at, amount, currency)
    story.order.status = "processing"
    story.charges.append(ChargeRow(order=story.order, status="unknown", amount=amount, currency=currency, at=at))
    return story


def held(account_id: UUID, at: datetime, amount: int = 1999) -> Story:
    """Authorized, not captured; Stripe agrees."""
    story = paid(account_id, at, amount)
    story.entries.clear()
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(
        status="requires_capture", amount_received=0, amount_capturable=amount, capture_method="manual",
        latest_charge=replace(charge, captured=False, balance_transaction=None),
    )  # fmt: skip
    story.charge.status = story.order.status = "authorized"
    story.charge.txn, story.order.capture, story.promised = None, "manual", True
    return story


def captured(account_id: UUID, at: datetime, amount: int = 1999, *, taken: int) -> Story:
    """Authorized, and a part of it captured; Stripe agrees."""
    story = paid(account_id, at, taken)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(
        amount=amount, capture_method="manual",
        latest_charge=replace(charge, amount=amount, amount_captured=taken),
    )  # fmt: skip
    story.charge.amount, story.charge.taken = amount, taken
    story.order.amount, story.order.capture = amount, "manual"
    return story
