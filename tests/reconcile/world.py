"""Two sides that a reconciliation can be shown: rows of ours, and a Stripe that answers from a dictionary.

A `Story` is one order as it stands on both sides when everything went well; a test then breaks what it wants broken.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service import ledger
from service.foundation.postgres.sql import begin
from service.ledger import JournalEntry
from service.stripe_gateway.objects import BalanceTransaction, Charge, IncompleteListing, Intent

_numbers = count(1)
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


@dataclass
class Story:
    order: OrderRow
    charges: list[ChargeRow] = field(default_factory=list)
    entries: list[JournalEntry] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    parked: str | None = None
    promised: bool = False
    asked_at: datetime | None = None  # when it is asked for again

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
        """Stripe tells the last balance transaction differently."""
        charge = self.intents[-1].latest_charge
        assert isinstance(charge, Charge)
        assert isinstance(charge.balance_transaction, BalanceTransaction)
        self.at_stripe(
            latest_charge=replace(charge, balance_transaction=replace(charge.balance_transaction, **changes))
        )


def intent(
    at: datetime,
    amount: int = 1999,
    currency: str = "usd",
    *,
    fee: int | None = 88,
    metadata: dict[str, str] | None = None,
) -> Intent:
    """A PaymentIntent that succeeded at `at`; `fee` None: its balance transaction is still to come."""
    n, created = next(_numbers), int(at.timestamp())
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


class FakeStripe:
    """A gateway that answers from what it was given, newest first."""

    def __init__(self, intents: list[Intent]) -> None:
        self.intents = {i.id: i for i in intents}
        self.breaks_after: int | None = None
        self.unreadable: set[str] = set()
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


async def default_account(engine: AsyncEngine) -> UUID:
    async with engine.connect() as connection:
        account_id: UUID = (await connection.execute(text("SELECT id FROM accounts WHERE is_default"))).scalar_one()
    return account_id


async def write(engine: AsyncEngine, stories: list[Story]) -> FakeStripe:
    """Put our side on record; returns Stripe's."""
    async with engine.begin() as tx:
        for story in stories:
            await tx.execute(_ORDER, _order(story.order))
            for charge in story.charges:
                await tx.execute(_CHARGE, _charge(charge))
            if story.promised or story.parked or story.asked_at:
                await tx.execute(_OUTBOX, _outbox(story))
    async with begin(engine) as books:
        await ledger.post(books, [entry for story in stories for entry in story.entries])
    return FakeStripe([made for story in stories for made in story.intents])


def _order(order: OrderRow) -> dict[str, Any]:
    return {
        "id": order.id, "account_id": order.account_id, "key": str(order.id), "amount": order.amount,
        "currency": order.currency, "status": order.status, "pi": order.pi, "at": order.at,
        "updated_at": order.updated_at or order.at,
    }  # fmt: skip


def _charge(charge: ChargeRow) -> dict[str, Any]:
    return {
        "id": uuid7(), "account_id": charge.order.account_id, "order_id": charge.order.id, "attempt": charge.attempt,
        "key": f"{charge.order.id}/{charge.attempt}", "amount": charge.amount, "currency": charge.currency,
        "status": charge.status, "pi": charge.pi, "charge": charge.charge, "created": charge.stripe_created,
        "txn": charge.txn, "at": charge.at, "updated_at": charge.updated_at or charge.at, "request": json.dumps({}),
    }  # fmt: skip


def _outbox(story: Story) -> dict[str, Any]:
    order = story.order
    return {
        "id": uuid7(), "account_id": order.account_id, "order_id": order.id, "at": order.at,
        "asked_at": story.asked_at or order.at, "error": story.parked,
        "parked_at": order.at if story.parked else None,
    }  # fmt: skip


_ORDER = text("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status,
                    payment_intent_id, created_at, updated_at)
VALUES (:id, :account_id, :key, ''::bytea, :amount, :currency, 'pm_card_visa', :status, :pi, :at, :updated_at)
""")
_CHARGE = text("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
                     balance_transaction_id, created_at, updated_at, life)
VALUES (:id, :account_id, :order_id, :attempt, :key, :amount, :currency, :status, CAST(:request AS json), 'v', true,
        :pi, :charge, :created, :txn, :at, :updated_at, 1)
""")
_OUTBOX = text("""
INSERT INTO outbox (id, account_id, order_id, kind, created_at, deliver_after, last_error, parked_at)
VALUES (:id, :account_id, :order_id, 'charge', :at, :asked_at, CAST(:error AS text), CAST(:parked_at AS timestamptz))
""")
