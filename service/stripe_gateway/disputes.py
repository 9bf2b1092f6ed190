"""Disputes and early fraud warnings as Stripe shows them, reduced to the fields we read. Pure data.

As in `objects`: unknown fields are ignored, and what is readable and cannot be is a `flaw`.
"""

import msgspec

from service.stripe_gateway.objects import BalanceTransaction, Moment, ObjectId, flaw_of


class EvidenceDetails(msgspec.Struct, frozen=True, kw_only=True):
    """How a dispute may be answered. `due_by` in Unix seconds; None where the bank takes no evidence."""

    due_by: Moment | None = None


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that its customer disputes at the bank. `status` may be a word that is newer than this code.

    `balance_transactions` are what it moved so far: the money taken, and the money given back.
    """

    id: ObjectId
    created: Moment
    amount: int
    currency: str
    status: str
    charge: ObjectId
    payment_intent: ObjectId | None = None
    reason: str | None = None
    is_charge_refundable: bool = False
    evidence_details: EvidenceDetails | None = None
    balance_transactions: list[BalanceTransaction] = []

    @property
    def due_by(self) -> int | None:
        """Unix seconds until which evidence is taken."""
        return None if self.evidence_details is None else self.evidence_details.due_by

    @property
    def moved_at(self) -> int | None:
        """Unix seconds at which it last moved money; None where it moved none."""
        return max((movement.created for movement in self.balance_transactions), default=None)

    @property
    def flaw(self) -> str | None:
        """What of it nobody can store, for people; None where there is nothing of the kind."""
        if self.amount < 0:
            return "its amount is below nothing"
        for movement in self.balance_transactions:
            if movement.flaw:
                return movement.flaw
        return flaw_of(
            {"amount": self.amount},
            {"currency": self.currency, "status": self.status, "reason": self.reason or "none"},
        )


class EarlyFraudWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What a card's bank believes to be fraud. `actionable`: a full refund now would still prevent a dispute."""

    id: ObjectId
    created: Moment
    charge: ObjectId
    fraud_type: str
    actionable: bool
    payment_intent: ObjectId | None = None

    @property
    def flaw(self) -> str | None:
        """What of it nobody can store, for people; None where there is nothing of the kind."""
        return flaw_of({}, {"type of fraud": self.fraud_type})
