"""Disputes as Stripe shows them, a list of them that can be asked, and what the tests say of them again and again."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import pytest

from service import disputes, ledger
from service.disputes import Seen
from service.foundation.postgres.sql import begin
from service.stripe_gateway.disputes import Dispute, EarlyFraudWarning
from service.stripe_gateway.objects import BalanceTransaction, IncompleteListing
from tests.charges.world import Promise, World

_numbers = count(1)


def dispute_json(payment_intent: str | None, status: str = "needs_response", **changes: Any) -> dict[str, Any]:
    """A dispute with every field that the SDK says Stripe always sends."""
    n = next(_numbers)
    return {
        "id": f"dp_{n}", "object": "dispute", "amount": 1999, "balance_transactions": [], "charge": f"ch_{n}",
        "created": int(time.time()), "currency": "usd", "enhanced_eligibility_types": [], "evidence": {},
        "evidence_details": {"due_by": 1_900_000_000, "enhanced_eligibility": {}, "has_evidence": False,
                             "past_due": False, "submission_count": 0},
        "intended_submission_method": None, "is_charge_refundable": False, "livemode": False, "metadata": {},
        "network_reason_code": None, "payment_intent": payment_intent, "payment_method_details": None,
        "reason": "fraudulent", "status": status,
    } | changes  # fmt: skip


def dispute(payment_intent: str | None, status: str = "needs_response", **changes: Any) -> Dispute:
    """The same, as the gateway reads it."""
    return msgspec.convert(dispute_json(payment_intent, status, **changes), Dispute)


def now(shown: Dispute, status: str | None = None, **changes: Any) -> Dispute:
    """The dispute, as it has become."""
    return msgspec.structs.replace(shown, **({"status": status} if status else {}), **changes)


def warning_json(payment_intent: str | None, **changes: Any) -> dict[str, Any]:
    """An early fraud warning with every field that the SDK says Stripe always sends."""
    n = next(_numbers)
    return {
        "id": f"issfr_{n}", "object": "radar.early_fraud_warning", "actionable": True, "charge": f"ch_{n}",
        "created": int(time.time()), "fraud_type": "made_with_stolen_card", "livemode": False,
        "payment_intent": payment_intent,
    } | changes  # fmt: skip


def warning(payment_intent: str | None, **changes: Any) -> EarlyFraudWarning:
    """The same, as the gateway reads it."""
    return msgspec.convert(warning_json(payment_intent, **changes), EarlyFraudWarning)


def movement(amount: int, **changes: Any) -> BalanceTransaction:
    """What a dispute moved; negative: it was taken."""
    made = {
        "id": f"txn_of_dispute_{next(_numbers)}", "amount": amount, "fee": 0, "net": amount, "currency": "usd",
        "created": int(time.time()), "type": "adjustment",
    }  # fmt: skip
    return msgspec.convert(made | changes, BalanceTransaction)


@dataclass
class Bank:
    """Stripe's lists of disputes and warnings. `cut`: it breaks off behind so many."""

    disputes: list[Dispute] = field(default_factory=list)
    warnings: list[EarlyFraudWarning] = field(default_factory=list)
    cut: int | None = None
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    async def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[Dispute]:
        self.asked.append(("disputes", created_gte, created_lt))
        for n, one in enumerate(sorted(self.disputes, key=lambda d: (d.created, d.id), reverse=True)):
            if created_gte <= one.created < created_lt:
                if self.cut is not None and n >= self.cut:
                    raise IncompleteListing("a page could not be read")
                yield one

    async def retrieve_dispute(self, dispute_id: str) -> Dispute | None:
        return next((one for one in self.disputes if one.id == dispute_id), None)

    async def list_fraud_warnings(self, created_gte: int, created_lt: int) -> AsyncIterator[EarlyFraudWarning]:
        self.asked.append(("warnings", created_gte, created_lt))
        for one in sorted(self.warnings, key=lambda w: (w.created, w.id), reverse=True):
            if created_gte <= one.created < created_lt:
                yield one

    async def retrieve_fraud_warning(self, warning_id: str) -> EarlyFraudWarning | None:
        return next((one for one in self.warnings if one.id == warning_id), None)


async def paid(world: World, **changes: Any) -> tuple[Promise, str]:
    """A paid order of 19.99 USD, and its PaymentIntent."""
    promise = await world.order(**changes)
    await world.deliver(promise)
    assert await world.status(promise) == "paid"
    return promise, (await world.charge(promise))["payment_intent_id"]


async def settle(world: World, *shown: Dispute) -> set[str]:
    """Have the database say what Stripe shows at this moment."""
    return await disputes.settle(world.engine, [Seen.now(one) for one in shown])


async def row(world: World, shown: Dispute) -> dict[str, Any]:
    """The dispute's row."""
    return await world.one("SELECT * FROM disputes WHERE id = :id", id=shown.id)


async def words(world: World, shown: Dispute) -> list[str]:
    """Stripe's words for it, in the order in which they were learnt."""
    return [entry["status"] for entry in (await row(world, shown))["history"]]


async def disputed(world: World, promise: Promise) -> int:
    """What the order counts as disputed."""
    found = await world.one("SELECT amount_disputed_minor FROM orders WHERE id = :id", id=promise.order_id)
    return int(found["amount_disputed_minor"])


async def book(world: World, promise: Promise, shown: Dispute, txn: BalanceTransaction) -> None:
    """Book a movement of the dispute, as whoever reads Stripe's balance does."""
    entry = ledger.dispute_entry(
        dispute_id=shown.id,
        principal_minor=shown.amount,
        transaction=txn,
        account_id=promise.account_id,
        order_id=promise.order_id,
        payment_intent_id=shown.payment_intent,
    )
    assert entry is not None
    async with begin(world.engine) as tx:
        assert (await ledger.post(tx, [entry])).booked
        await disputes.close(tx, [shown.id])


async def booked(world: World, promise: Promise) -> dict[str, int]:
    """What the journal says of the order's dispute, as balances; what is even is left out."""
    found: dict[str, int] = {}
    for entry in await world.entries(promise):
        if ":dp_" in entry["reference"]:
            for leg in entry["postings"]:
                found[leg["account"]] = found.get(leg["account"], 0) + leg["amount"]
    return {account: amount for account, amount in found.items() if amount}


def said(caplog: pytest.LogCaptureFixture, event: str, name: str) -> list[Any]:
    """What the log says under this name, each time that the event happened."""
    records = [record for record in caplog.records if record.getMessage() == event]
    return [vars(record)["fields"][name] for record in records]


async def references(world: World, promise: Promise) -> list[str]:
    """The entries of the order's dispute that no movement made."""
    entries = [entry["reference"] for entry in await world.entries(promise)]
    return [name for name in entries if ":dp_" in name and "withdrawn" not in name and "reinstated" not in name]
