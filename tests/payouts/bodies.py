"""Payouts and movements as Stripe sends them: every field that the SDK's types have, and no other."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.stripe_gateway.objects import BalanceTransaction, IncompleteListing
from service.stripe_gateway.payouts import Payout

DAY = 86_400
MADE = 1_795_564_800  # 2026-11-25T00:00:00Z
PAYOUT: dict[str, Any] = {
    "id": "po_1", "object": "payout", "amount": 1411, "application_fee": None, "application_fee_amount": None,
    "arrival_date": MADE + 2 * DAY, "automatic": True, "balance_transaction": "txn_po_1", "created": MADE,
    "currency": "usd", "description": "STRIPE PAYOUT", "destination": "ba_1", "failure_balance_transaction": None,
    "failure_code": None, "failure_message": None, "livemode": False, "metadata": {}, "method": "standard",
    "original_payout": None, "payout_method": None, "reconciliation_status": "in_progress", "reversed_by": None,
    "source_type": "card", "statement_descriptor": None, "status": "pending",
    "trace_id": {"status": "pending", "value": None}, "type": "bank_account",
}  # fmt: skip
MOVEMENT: dict[str, Any] = {
    "id": "txn_1", "object": "balance_transaction", "amount": 1999, "available_on": MADE, "balance_type": "payments",
    "created": MADE - DAY, "currency": "usd", "description": None, "exchange_rate": None, "fee": 88, "fee_details": [],
    "net": 1911, "reporting_category": "charge", "source": "ch_1", "status": "available", "type": "charge",
}  # fmt: skip
FAILED: dict[str, Any] = {"failure_code": "account_closed", "failure_message": "The bank account has been closed."}


def movement(**changes: Any) -> dict[str, Any]:
    """A movement of Stripe's balance."""
    return {**MOVEMENT, **changes}


def payout(status: str = "pending", **changes: Any) -> Payout:
    """A payout as a list with both movements expanded shows it: `po_1` of 14.11 USD where nothing else is said."""
    body = {**PAYOUT, "status": status, "balance_transaction": "", **(FAILED if status == "failed" else {}), **changes}
    own = {"source": body["id"], "currency": body["currency"], "fee": 0, "created": body["created"]}
    if body["balance_transaction"] == "":
        sums = {"amount": -body["amount"], "net": -body["amount"]}
        words = {"id": f"txn_{body['id']}", "type": "payout", "reporting_category": "payout"}
        body["balance_transaction"] = movement(**own, **sums, **words)
    if status in ("failed", "canceled") and "failure_balance_transaction" not in changes:
        own["created"] += 5 * DAY
        words = {"id": f"txn_back_{body['id']}", "type": "payout_failure", "reporting_category": "payout_reversal"}
        back = movement(**own, amount=body["amount"], net=body["amount"], **words)
        body["failure_balance_transaction"] = back
    return msgspec.json.decode(json.dumps(body), type=Payout)


@dataclass
class Stripe:
    """Lists of payouts and of what is in them, newest first, as the gateway answers them."""

    payouts: dict[str, Payout] = field(default_factory=dict)
    contents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    breaks_after: int | None = None
    payouts_break_after: int | None = None

    def shows(self, *shown: Payout) -> None:
        """From now on these are so."""
        self.payouts |= {one.id: one for one in shown}

    async def list_payouts(self, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        """As the gateway's; it breaks off after `payouts_break_after` payouts."""
        self.calls.append("list_payouts")
        inside = [one for one in self.payouts.values() if created_gte <= one.created < created_lt]
        for shown, one in enumerate(sorted(inside, key=lambda one: (-one.created, one.id))):
            if shown == self.payouts_break_after:
                raise IncompleteListing("a page of /v1/payouts could not be read: 500")
            yield one

    async def retrieve_payout(self, payout_id: str) -> Payout | None:
        """As the gateway's."""
        self.calls.append("retrieve_payout")
        return self.payouts.get(payout_id)

    async def list_payout_transactions(
        self, payout_id: str, created_gte: int, created_lt: int
    ) -> AsyncIterator[BalanceTransaction]:
        """As the gateway's; it breaks off after `breaks_after` movements."""
        self.calls.append(payout_id)
        inside = [one for one in self.contents.get(payout_id, []) if created_gte <= one["created"] < created_lt]
        ordered: Sequence[dict[str, Any]] = sorted(inside, key=lambda one: (-one["created"], one["id"]))
        for shown, one in enumerate(ordered):
            if shown == self.breaks_after:
                raise IncompleteListing("a page of /v1/balance_transactions could not be read: 500")
            yield msgspec.json.decode(json.dumps(one), type=BalanceTransaction)
