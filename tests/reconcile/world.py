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
from service.stripe_gateway.objects import BalanceTransaction, Charge, IncompleteListing, Intent, Refund

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


def made_refund(
    story: Story, at: datetime, amount: int, *, status: str = "succeeded", metadata: dict[str, str] | None = None
) -> Refund:
    """A refund of this order's last payment as Stripe shows it; the payment shows it, too."""
    n, created = next(_numbers), int(at.timestamp())
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
    refund, n = story.refunded[-1], next(_numbers)
    back = _movement(f"txn_back{n}", refund.amount, refund.currency, int(at.timestamp()), "refund_failure")
    story.refund_at_stripe(status="failed", failure_reason="unknown", failure_balance_transaction=back)


def book_failure(story: Story) -> None:
    """We have heard of it: the last refund is failed here, too, and the customer is owed."""
    row, (*_, booked) = (
        story.refund,
        ledger.refund_entries(
            account_id=story.order.account_id, order_id=story.order.id, refund=story.refunded[-1], drawn_minor=0
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
    if status in ("failed", "canceled"):
        story.order.owed += amount
    story.order.owed -= drawn
    story.entries += ledger.refund_entries(
        account_id=story.order.account_id, order_id=story.order.id, refund=made, drawn_minor=drawn
    )
    return row


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


class FakeStripe:
    """A gateway that answers from what it was given, newest first."""

    def __init__(self, intents: list[Intent], refunds: list[Refund] | None = None) -> None:
        self.intents = {i.id: i for i in intents}
        self.refunds = {r.id: r for r in refunds or []}
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
                if charge.asked_for_at:
                    await tx.execute(_CHANGE, _change(charge))
            for refund in story.refunds:
                await tx.execute(_REFUND, _refund(refund))
                if refund.parked or refund.asked_at:
                    await tx.execute(_REFUND_PROMISE, _promised(refund))
            if story.promised or story.parked or story.asked_at:
                await tx.execute(_OUTBOX, _outbox(story))
    async with begin(engine) as books:
        await ledger.post(books, [entry for story in stories for entry in story.entries])
    return FakeStripe(
        [made for story in stories for made in story.intents], [made for story in stories for made in story.refunded]
    )


def _order(order: OrderRow) -> dict[str, Any]:
    return {
        "id": order.id, "account_id": order.account_id, "key": str(order.id), "amount": order.amount,
        "currency": order.currency, "status": order.status, "pi": order.pi, "at": order.at,
        "updated_at": order.updated_at or order.at, "capture": order.capture, "owed": order.owed,
    }  # fmt: skip


def _charge(charge: ChargeRow) -> dict[str, Any]:
    return {
        "id": charge.id, "account_id": charge.order.account_id, "order_id": charge.order.id, "attempt": charge.attempt,
        "taken": charge.taken,
        "key": f"{charge.order.id}/{charge.attempt}", "amount": charge.amount, "currency": charge.currency,
        "status": charge.status, "pi": charge.pi, "charge": charge.charge, "created": charge.stripe_created,
        "txn": charge.txn, "at": charge.at, "updated_at": charge.updated_at or charge.at, "request": json.dumps({}),
    }  # fmt: skip


def _change(charge: ChargeRow) -> dict[str, Any]:
    return {
        "id": uuid7(), "account_id": charge.order.account_id, "order_id": charge.order.id, "charge_id": charge.id,
        "key": str(uuid7()), "at": charge.asked_for_at,
    }  # fmt: skip


def _refund(refund: RefundRow) -> dict[str, Any]:
    order = refund.charge.order
    return {
        "id": refund.id, "account_id": order.account_id, "order_id": order.id, "charge_id": refund.charge.id,
        "key": str(refund.id), "amount": refund.amount, "currency": refund.currency, "status": refund.status,
        "re": refund.re, "created": refund.stripe_created, "drawn": refund.drawn, "txn": refund.txn,
        "failure_txn": refund.failure_txn, "at": refund.at, "updated_at": refund.updated_at or refund.at,
    }  # fmt: skip


def _promised(refund: RefundRow) -> dict[str, Any]:
    order = refund.charge.order
    return {
        "id": uuid7(), "account_id": order.account_id, "order_id": order.id, "at": refund.at,
        "effect": json.dumps({"effect": str(refund.id)}), "asked_at": refund.asked_at or refund.at,
        "error": refund.parked, "parked_at": refund.at if refund.parked else None,
    }  # fmt: skip


def _outbox(story: Story) -> dict[str, Any]:
    order = story.order
    return {
        "id": uuid7(), "account_id": order.account_id, "order_id": order.id, "at": order.at,
        "asked_at": story.asked_at or order.at, "error": story.parked, "kind": story.promises,
        "payload": '{"attempt": 1}' if story.promises == "charge" else json.dumps({"effect": str(uuid7())}),
        "parked_at": order.at if story.parked else None,
    }  # fmt: skip


_ORDER = text("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status,
                    payment_intent_id, created_at, updated_at, capture, amount_owed_minor)
VALUES (:id, :account_id, :key, ''::bytea, :amount, :currency, 'pm_card_visa', :status, :pi, :at, :updated_at,
        :capture, :owed)
""")
_CHARGE = text("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
                     balance_transaction_id, created_at, updated_at, captured_minor, life)
VALUES (:id, :account_id, :order_id, :attempt, :key, :amount, :currency, :status, CAST(:request AS json), 'v', true,
        :pi, :charge, :created, :txn, :at, :updated_at, :taken, 1)
""")
_CHANGE = text("""
INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, idempotency_key, status, request,
                     stripe_version, created_at, updated_at)
VALUES (:id, :account_id, :order_id, :charge_id, 'cancel', 'producer', :key, 'sending', '{}', 'v', :at, :at)
""")
_REFUND = text("""
INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, idempotency_key, amount_minor, currency, status,
                     stripe_refund_id, stripe_created, drawn_minor, balance_transaction_id, failure_transaction_id,
                     request, stripe_version, created_at, updated_at)
VALUES (:id, :account_id, :order_id, :charge_id, :key, :key, :amount, :currency, :status, :re, :created, :drawn, :txn,
        :failure_txn, '{}', 'v', :at, :updated_at)
""")
_REFUND_PROMISE = text("""
INSERT INTO outbox (id, account_id, order_id, kind, payload, created_at, deliver_after, last_error, parked_at)
VALUES (:id, :account_id, :order_id, 'refund', CAST(:effect AS jsonb), :at, :asked_at, CAST(:error AS text),
        CAST(:parked_at AS timestamptz))
""")
_OUTBOX = text("""
INSERT INTO outbox (id, account_id, order_id, kind, payload, created_at, deliver_after, last_error, parked_at)
VALUES (:id, :account_id, :order_id, :kind, CAST(:payload AS jsonb), :at, :asked_at, CAST(:error AS text),
        CAST(:parked_at AS timestamptz))
""")
