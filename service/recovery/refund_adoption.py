"""A refund that Stripe shows: is it known here, and what brings it back where it is not (R31). Pure.

One of a payment of ours is always booked, because its money has gone: under its producer's key where its metadata has
that key and nothing here contradicts it, else as one that was made at Stripe past us. So is that of an order's second
payment, out of suspense.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from service.foundation.postgres.records import Record
from service.orders.keys import is_key
from service.recovery.adoption import Step, Verdict
from service.states import CHARGE_MONEY_MOVED, REFUND_FINAL, REFUND_TRANSITIONS
from service.stripe_gateway.marks import RefundMarks, read_refund_marks
from service.stripe_gateway.objects import Refund

# Stripe's own, of an authorization that ran out: it moves no money.
_MOVES_NOTHING = "expired_uncaptured_charge"


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund that Stripe shows, and what its metadata says; None: it was made past us."""

    shown: Refund
    marks: RefundMarks | None

    @classmethod
    def of(cls, shown: Refund, instance: UUID) -> "ListedRefund | None":
        """None for that of another installation."""
        marks = read_refund_marks(shown.metadata)
        return cls(shown, marks) if marks is None or marks.instance in (None, instance) else None

    @property
    def created(self) -> datetime:
        """Stripe's moment."""
        return datetime.fromtimestamp(self.shown.created, UTC)

    @property
    def key(self) -> str | None:
        """The producer's key, where it can be one."""
        return self.marks.key if self.marks and self.marks.key and is_key(self.marks.key) else None


class KnownRefund(Record):
    """What this database knows about one listed refund, `refund`. None: it knows no such row.

    The charge is the one whose payment it gives back. `row_…`: our refund that bears its id (`is_held`), or that its
    metadata names by id (`by_id`) or by its producer's key; `leased` while a worker acts on it.
    """

    refund: str
    charge_id: UUID | None
    charge_status: str | None
    account_id: UUID | None
    order_id: UUID | None
    row_id: UUID | None
    row_order_id: UUID | None
    row_charge_id: UUID | None
    row_amount: int | None
    row_currency: str | None
    row_status: str | None
    row_refund: str | None
    is_held: bool
    by_id: bool
    leased: bool


def judge_listed(listed: ListedRefund, known: KnownRefund) -> Verdict:
    """What to do about a listed refund. An adopted one with a reason is booked, and a human reads why without a key."""
    shown = listed.shown
    if known.charge_id is None:
        ours = listed.marks is not None
        return Verdict(Step.REPORT, "its payment is unknown here") if ours else Verdict(Step.NOTHING)
    if known.is_held:
        return _of_a_known_refund(shown, known)
    if shown.reason == _MOVES_NOTHING:
        return Verdict(Step.NOTHING)
    if known.charge_status not in CHARGE_MONEY_MOVED:
        return Verdict(Step.REPORT, "its payment has no success here yet, which must be booked first")
    if known.row_id is None:
        return Verdict(Step.ADOPT)
    if (reason := _contradiction(shown, known)) is not None:
        return Verdict(Step.ADOPT, reason)
    return Verdict(Step.NOTHING if known.leased else Step.SETTLE)


def is_spent(known: KnownRefund) -> bool:
    """Whether the key of our refund is another one's at Stripe, so that it may not be sent."""
    is_open = known.row_refund is None and known.row_status not in REFUND_FINAL
    return is_open and not known.by_id and known.row_order_id == known.order_id


def _of_a_known_refund(shown: Refund, known: KnownRefund) -> Verdict:
    may_follow = REFUND_TRANSITIONS[known.row_status or ""]
    has_ended = shown.status in REFUND_FINAL and shown.status != known.row_status and shown.status in may_follow
    return Verdict(Step.SETTLE if has_ended and not known.leased else Step.NOTHING)


def _contradiction(shown: Refund, known: KnownRefund) -> str | None:
    """Why the refund of ours that its metadata names is not this one."""
    if known.row_refund is not None:
        return f"the refund that its metadata names is {known.row_refund}"
    same_payment = (known.row_order_id, known.row_charge_id) == (known.order_id, known.charge_id)
    if not same_payment or (known.row_amount, known.row_currency) != (shown.amount, shown.currency):
        return "its key was used for another refund after this database forgot it"
    if known.row_status in REFUND_FINAL:
        return f"the refund that its metadata names has ended here as {known.row_status}"
    return None
