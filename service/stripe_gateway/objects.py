"""What Stripe tells us, reduced to the fields we read. Pure data: no network, no database.

Unknown fields are ignored (Stripe adds some with every version); a missing or mistyped one makes the whole body
unreadable, and an unreadable answer is an unknown outcome, never a failure (R15).

A listing shows payments that are not ours, too. What is readable and cannot be (`flaw`) is left out by whoever would
store it, and said; it spoils no listing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from service.foundation.money import AMOUNT_MAX

# What cannot be one makes the body unreadable, before it reaches a URL, a clock or a column.
ObjectId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]{1,255}\Z")]
MOMENT_MAX = 4_102_444_800  # Unix seconds, until the year 2100
Moment = Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MAX)]
_WORD = re.compile(r"[!-~]{1,255}\Z")
# The types of balance transactions that take a customer's money: with a card, and with anything else.
TOOK_MONEY = frozenset({"charge", "payment"})
# The type of those that bring a refund's money back because it failed.
REFUND_FAILURE = "refund_failure"


class IncompleteListing(Exception):
    """A page of a listing could not be read. What was read is true; what was not read is unknown (R18, R29)."""


class ContradictoryListing(IncompleteListing):
    """Pages that cannot all be of one list: something was left out, nobody knows where (R35)."""


class BalanceTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of Stripe's balance. Amounts in minor units of the settlement currency; moments in Unix seconds.

    `reporting_category` is for the books; where it is missing, `type` is a hint. `balance_type` is the balance moved.
    """

    id: str
    amount: int
    fee: int
    net: int
    currency: str
    created: int
    type: str
    source: str | None = None
    reporting_category: str = ""
    available_on: int | None = None
    balance_type: str = "payments"

    @property
    def flaw(self) -> str | None:
        """What of it nobody can book, for people; None where there is nothing of the kind."""
        if not (0 <= self.created <= MOMENT_MAX and 0 <= (self.available_on or 0) <= MOMENT_MAX):
            return "a moment of its balance transaction is none"
        adds_up = self.net == self.amount - self.fee
        return flaw_of(
            {"amount of its balance transaction": self.amount, "fee": self.fee},
            {
                "balance transaction's id": self.id,
                "settlement currency": self.currency,
                "balance transaction's source": self.source or "none",
                "balance transaction's type": self.type,
                "reporting category": self.reporting_category or "none",
                "balance that moved": self.balance_type,
            },
        ) or (None if adds_up else "the net of its balance transaction is not its amount less its fee")


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of Stripe to take the money of a PaymentIntent."""

    id: ObjectId
    created: Moment
    amount: int
    currency: str
    status: str
    captured: bool
    amount_captured: int = 0
    amount_refunded: int = 0
    refunded: bool = False
    disputed: bool = False
    payment_intent: ObjectId | None = None
    balance_transaction: BalanceTransaction | str | None = None

    @property
    def given_back(self) -> int:
        """What refunds gave back, or may give: minor units."""
        return (self.amount_captured or self.amount) if self.refunded else self.amount_refunded

    @property
    def returned(self) -> int:
        """What went back to the customer, or may go: minor units. A dispute takes all that was captured."""
        return (self.amount_captured or self.amount) if self.disputed else self.given_back


class LastPaymentError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last attempt of a PaymentIntent was declined."""

    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="payment_intent"):
    """A PaymentIntent. `latest_charge` is an id, or the object where the call asked to expand it."""

    id: ObjectId
    created: Moment
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    amount_received: int = 0
    amount_capturable: int = 0
    capture_method: str = "automatic"
    cancellation_reason: str | None = None
    customer: str | None = None
    description: str | None = None
    livemode: bool = False
    payment_method: str | None = None
    latest_charge: Charge | ObjectId | None = None
    last_payment_error: LastPaymentError | None = None

    @property
    def charge_id(self) -> str | None:
        """`ch_…` of the latest charge, expanded or not."""
        return self.latest_charge.id if isinstance(self.latest_charge, Charge) else self.latest_charge

    @property
    def charged_at(self) -> int | None:
        """Unix seconds at which the money was taken; None where the latest charge, expanded, does not show it.

        3-D Secure may finish a day after `created`. A capture comes days after its charge was made: its moment is that
        of its balance transaction, which may be made a little later than the answer.
        """
        charge = self.latest_charge
        if not isinstance(charge, Charge):
            return None
        if self.capture_method != "manual":
            return charge.created
        return (
            charge.balance_transaction.created if isinstance(charge.balance_transaction, BalanceTransaction) else None
        )

    @property
    def flaw(self) -> str | None:
        """What of it nobody can compare with the books, for people; None where there is nothing of the kind."""
        sums = {"amount": self.amount, "amount received": self.amount_received}
        charge = self.latest_charge
        if isinstance(charge, Charge):
            sums["amount captured"] = charge.amount_captured
            sums["amount that went back"] = charge.returned
            if isinstance(charge.balance_transaction, BalanceTransaction) and charge.balance_transaction.flaw:
                return charge.balance_transaction.flaw
        return flaw_of(sums, {"currency": self.currency, "status": self.status})


class Refund(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="refund"):
    """Money on its way back. A balance transaction is an id, or the object where the call asked to expand it.

    The first takes the money from Stripe's balance, the other brings it back after a failure. `payment_intent` is None
    where the payment was none of ours; old refunds may have no status and no metadata.
    """

    id: ObjectId
    created: Moment
    amount: int
    currency: str
    status: str | None = None
    payment_intent: ObjectId | None = None
    charge: ObjectId | None = None
    metadata: dict[str, str] | None = None
    reason: str | None = None
    pending_reason: str | None = None
    failure_reason: str | None = None
    balance_transaction: BalanceTransaction | ObjectId | None = None
    failure_balance_transaction: BalanceTransaction | ObjectId | None = None

    @property
    def flaw(self) -> str | None:
        """What of it nobody can compare with the books, for people; None where there is nothing of the kind."""
        for movement in (self.balance_transaction, self.failure_balance_transaction):
            if isinstance(movement, BalanceTransaction) and movement.flaw:
                return movement.flaw
        return flaw_of({"amount": self.amount}, {"currency": self.currency, "status": self.status or ""})


class RedirectToUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A page at which the customer authenticates."""

    url: str | None = None


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has to do, by Stripe's word for it."""

    type: str
    redirect_to_url: RedirectToUrl | None = None


class Confirmable(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent as its customer's browser needs it. The secret is passed on and kept nowhere (R30)."""

    id: ObjectId
    status: str
    client_secret: str
    next_action: NextAction | None = None


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request that made an event happen."""

    idempotency_key: str | None = None


class EventObject(msgspec.Struct, frozen=True, kw_only=True):
    """The object an event is about, by its id."""

    id: ObjectId


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """What an event carries."""

    object: EventObject


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at Stripe, with the request that made it happen. Kept for 30 days."""

    id: ObjectId
    data: EventData
    request: EventRequest | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Stripe's error object."""

    type: str
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    param: str | None = None
    payment_intent: Intent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one call, before anybody judges it.

    `http_status` is None when no trustworthy answer arrived: nothing, a cut body, a proxy's page, JSON that is not
    Stripe's, or no Request-Id. `nothing_sent` is True only where the connection itself could not be made.
    """

    http_status: int | None
    intent: Intent | None = None
    refund: Refund | None = None
    error: ErrorBody | None = None
    request_id: str | None = None
    replayed: bool = False
    retry_after_s: float | None = None
    date: float | None = None
    nothing_sent: bool = False
    note: str = ""

    @property
    def word(self) -> str:
        """The answer in one word for histories and logs: a status, or what went wrong. Never a value of the request."""
        if self.http_status is None:
            return self.note or "no answer"
        if self.error is not None:
            return f"{self.http_status} {self.error.code or self.error.type}"
        shown = self.intent or self.refund
        return f"{self.http_status} {(shown and shown.status) or 'object'}"


def flaw_of(sums: Mapping[str, int], words: Mapping[str, str]) -> str | None:
    """Which of these is no sum of money, or no word of Stripe's; None where all of them are."""
    for name, amount in sums.items():
        if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
            return f"its {name} is beyond any sum of money"
    return next((f"its {name} is no word of Stripe's" for name, word in words.items() if not _WORD.match(word)), None)
