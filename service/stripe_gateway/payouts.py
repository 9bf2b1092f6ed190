"""A payout as Stripe shows it, reduced to the fields we read. Pure data.

As in `objects`: unknown fields are ignored, and what is readable and cannot be is a `flaw`. Of its words only the
status decides anything, so only an unknown status is none that can be stored.
"""

import msgspec

from service.states import PAYOUT_STATUSES
from service.stripe_gateway.objects import BalanceTransaction, Moment, ObjectId, flaw_of

# A payout is a sum of many payments, so the bound of one payment is none of its own: what every reader of JSON holds.
_SUM_MAX = 2**53 - 1
_TRACE_MAX = 255  # characters


class TraceId(msgspec.Struct, frozen=True, kw_only=True):
    """By what the receiving bank finds a payout; `value` is null until it is known, and where the bank has none."""

    status: str
    value: str | None = None


class Payout(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="payout"):
    """Money on its way to the bank; a negative `amount` comes from the bank. Times in Unix seconds.

    A balance transaction is an id, or the object where the call asked to expand it: the first takes the money from
    Stripe's balance, the other brings it back where the payout failed or was canceled.
    """

    id: ObjectId
    created: Moment
    amount: int
    currency: str
    status: str
    arrival_date: Moment
    automatic: bool
    method: str
    trace_id: TraceId | None = None
    reconciliation_status: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    balance_transaction: BalanceTransaction | ObjectId | None = None
    failure_balance_transaction: BalanceTransaction | ObjectId | None = None

    @property
    def trace(self) -> str | None:
        """By what the receiving bank finds it; None where Stripe tells none that can be shown."""
        value = self.trace_id.value if self.trace_id is not None else None
        return value if value and value.isprintable() and len(value) <= _TRACE_MAX else None

    @property
    def flaw(self) -> str | None:
        """What of it nobody can store, for people; None where there is nothing of the kind."""
        if not -_SUM_MAX <= self.amount <= _SUM_MAX:
            return "its amount is beyond any sum of money"
        words = {"currency": self.currency, "method": self.method, "status": self.status}
        if flaw := flaw_of({}, words | {"reconciliation status": self.reconciliation_status or "none"}):
            return flaw
        return None if self.status in PAYOUT_STATUSES else f"its status {self.status} is none that we know"
