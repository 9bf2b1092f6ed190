"""A PaymentIntent of ours that Stripe shows: is it known here, and what brings it back where it is not (R31). Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from msgspec import UNSET

from service.foundation.postgres.records import Record
from service.orders.identity import CHARGE, fingerprint, is_fingerprint, wire_key
from service.orders.keys import is_key
from service.orders.model import OrderRequest
from service.states import CHARGE_FINAL, CHARGE_MONEY_MOVED, CHARGE_PROVEN, INTENT_ENDED
from service.stripe_gateway.marks import Marks, producers_own
from service.stripe_gateway.objects import Intent


class Step(Enum):
    """What is to be done about one PaymentIntent."""

    NOTHING = "known"  # or in the hands of a worker, who will settle it
    SETTLE = "settled"  # its charge is known and does not say yet what Stripe says
    ADOPT = "adopted"  # its order or its attempt was forgotten
    BLOCK = "blocked"  # its key was taken by another request meanwhile: neither may be sent
    REPORT = "reported"  # nothing here can tell whose it is


class Known(Record):
    """What this database knows about one listed PaymentIntent, `intent`. None: it knows no such row.

    The order is the one that the metadata names (`by_id`, also by an alias), or the one that holds its key.
    The charge is the order's attempt; `leased` while a worker acts on it. `holder_…`: of the charge, whosever, that
    bears this PaymentIntent's id.
    """

    intent: str
    account_id: UUID | None
    is_default: bool | None
    order_id: UUID | None
    by_id: bool
    amount: int | None
    currency: str | None
    fingerprint: bytes | None
    charge_id: UUID | None
    charge_status: str | None
    charge_intent: str | None
    leased: bool
    holder_id: UUID | None
    holder_status: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A step and, where a human should read it, why."""

    step: Step
    reason: str = ""


def judge(intent: Intent, marks: Marks, known: Known) -> Verdict:
    """What to do about `intent`, given what is known of it. Knowing its order is not enough: its id must be known."""
    if known.holder_status is not None:
        if not _ends(intent, known.holder_status):
            return Verdict(Step.NOTHING)
        if known.holder_id != known.charge_id:
            return Verdict(Step.REPORT, "its metadata was changed: it names another attempt than the one that has it")
        return Verdict(Step.SETTLE)
    if known.account_id is None:
        return Verdict(Step.REPORT, "its account is unknown here")
    if known.order_id is None:
        return _of_a_forgotten_order(marks)
    if (intent.amount, intent.currency) != (known.amount, known.currency):
        differs = "amount or currency differ from its order's"
        return Verdict(Step.REPORT, differs) if known.by_id else Verdict(Step.BLOCK, _TAKEN)
    if not known.by_id and marks.fingerprint != known.fingerprint:
        return Verdict(Step.BLOCK, _TAKEN)
    return _of_a_known_order(intent, known)


def _ends(intent: Intent, charge_status: str) -> bool:
    """Whether Stripe's word is an end that the charge has not come to: proof, whoever brings it (R21)."""
    if intent.status == "succeeded":
        return charge_status not in CHARGE_MONEY_MOVED
    return intent.status in CHARGE_PROVEN and charge_status not in CHARGE_FINAL


_TAKEN = "its key was used for another request after this database forgot it"


def _of_a_forgotten_order(marks: Marks) -> Verdict:
    if marks.key is None or marks.fingerprint is None or not (is_key(marks.key) and is_fingerprint(marks.fingerprint)):
        return Verdict(Step.REPORT, "its order is unknown here, and so is the key it was placed with")
    return Verdict(Step.ADOPT)


def _of_a_known_order(intent: Intent, known: Known) -> Verdict:
    if known.charge_id is None:
        return Verdict(Step.ADOPT)
    if known.charge_intent is not None:
        return Verdict(Step.REPORT, "its attempt has another PaymentIntent")
    if known.leased:
        return Verdict(Step.NOTHING)  # sent, with the send on record: its worker settles it, or another takes over
    if known.charge_status in CHARGE_FINAL and intent.status != "succeeded":
        ended = intent.status in INTENT_ENDED
        return Verdict(Step.NOTHING if ended else Step.REPORT, f"its attempt has ended here as {known.charge_status}")
    return Verdict(Step.SETTLE)


def key_on_the_wire(marks: Marks, *, is_default: bool, order_key: str) -> str:
    """The key that this attempt was sent under."""
    return wire_key(
        account_id=marks.account_id,
        is_default=is_default,
        operation=CHARGE,
        order_key=order_key,
        attempt=marks.attempt,
    )


def fingerprint_of(intent: Intent) -> bytes:
    """The fingerprint of the request that `intent` was made of, for those that do not bear it: from what Stripe shows.

    Where Stripe shows another payment method than the request named (its test tokens), a repeat is refused as another
    body; it never charges again.
    """
    request = OrderRequest(
        amount=intent.amount,
        currency=intent.currency,
        payment_method=intent.payment_method or "",
        customer=intent.customer or UNSET,
        description=intent.description or UNSET,
        metadata=producers_own(intent.metadata),
        capture="manual" if intent.capture_method == "manual" else "automatic",
    )
    return fingerprint(request)


def placed_at(order_id: UUID, otherwise: datetime) -> datetime:
    """When the order was placed, which its UUIDv7 tells to the millisecond."""
    if order_id.version != 7:
        return otherwise
    return datetime.fromtimestamp((order_id.int >> 80) / 1000, otherwise.tzinfo)
