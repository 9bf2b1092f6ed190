"""Puts stories on record: our side into the database, Stripe's into a fake."""

import json
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service import ledger
from service.foundation.postgres.sql import begin
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.world import ChargeRow, OrderRow, RefundRow, Story


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
        "taken": charge.taken, "settled_in": charge.settled and charge.settled.currency,
        "settled": charge.settled and charge.settled.minor,
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
        "failure_txn": refund.failure_txn, "promised": refund.promised,
        "drawn_settled": None if refund.promised is None else 0, "at": refund.at,
        "updated_at": refund.updated_at or refund.at,
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
                     balance_transaction_id, created_at, updated_at, captured_minor, settlement_currency,
                     settled_minor, life)
VALUES (:id, :account_id, :order_id, :attempt, :key, :amount, :currency, :status, CAST(:request AS json), 'v', true,
        :pi, :charge, :created, :txn, :at, :updated_at, :taken, :settled_in, :settled, 1)
""")
_CHANGE = text("""
INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, idempotency_key, status, request,
                     stripe_version, created_at, updated_at)
VALUES (:id, :account_id, :order_id, :charge_id, 'cancel', 'producer', :key, 'sending', '{}', 'v', :at, :at)
""")
_REFUND = text("""
INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, idempotency_key, amount_minor, currency, status,
                     stripe_refund_id, stripe_created, drawn_minor, balance_transaction_id, failure_transaction_id,
                     promised_settled_minor, drawn_settled_minor, request, stripe_version, created_at, updated_at)
VALUES (:id, :account_id, :order_id, :charge_id, :key, :key, :amount, :currency, :status, :re, :created, :drawn, :txn,
        :failure_txn, :promised, :drawn_settled, '{}', 'v', :at, :updated_at)
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
