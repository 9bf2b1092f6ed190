"""The second implementation for refunds: dictionaries and plain Python, without SQL.

Written from docs/explanation/reconciliation.md, as oracle.py is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from service.ledger import JournalEntry, Money
from service.stripe_gateway.objects import BalanceTransaction, Refund
from tests.reconcile.world import RefundRow, Story

OPEN, GAVE_NOTHING = {"pending", "processing"}, {"failed", "canceled"}
SAME_WORD = {
    "pending": {"pending", "requires_action"},
    "processing": {"pending", "requires_action"},
    "succeeded": {"succeeded"},
    "failed": {"failed"},
    "canceled": {"canceled"},
}


class Found(NamedTuple):
    """A discrepancy as the oracle names it: class, PaymentIntent, order and refund, each "" where there is none."""

    name: str
    payment_intent: str
    order: str
    refund: str = ""


def explained(refunds: Iterable[Refund]) -> Counter[str]:
    """What refunds at Stripe tell of each payment."""
    sums = Counter[str]()
    for refund in refunds:
        sums[refund.payment_intent or ""] += refund.amount
    return sums


def given_for_good(intent_id: str, told: int, refunds: Iterable[Refund]) -> int:
    """What went back of a payment for good, whose sum at Stripe, `told`, may count refunds that have not succeeded."""
    its_own = [refund for refund in refunds if refund.payment_intent == intent_id]
    sure = sum(refund.amount for refund in its_own if refund.status == "succeeded")
    unsure = sum(refund.amount for refund in its_own if refund.status != "succeeded")
    return min(told, max(sure, told - unsure))


def judge_refunds(stories: list[Story], refunds: Iterable[Refund], cut_off: datetime) -> Iterator[Found]:
    """Everything that differs of refunds."""
    left = {refund.id: refund for refund in refunds}
    for story in stories:
        claimed = [(row, _claim(story, row, left)) for row in story.refunds]
        for row, refund in claimed:
            name = _judge(story, row, refund, cut_off)
            if name is not None:
                payment = (refund and refund.payment_intent) or row.charge.pi or ""
                yield Found(name, payment, str(story.order.id), (refund.id if refund else row.re) or str(row.id))
        yield from _booked_for_nobody(
            story, {(refund.id if refund else row.re): row.charge.status == "duplicate" for row, refund in claimed}
        )
        if story.order.owed and any(row.status in GAVE_NOTHING for row in story.refunds):
            yield Found("owed", story.order.pi or "", str(story.order.id))
    payers = {charge.pi: str(story.order.id) for story in stories for charge in story.charges}
    for refund in left.values():
        if refund.status not in GAVE_NOTHING:
            name = _young("refund_missing_locally", _time(refund.created), cut_off)
            yield Found(name, refund.payment_intent or "", payers.get(refund.payment_intent, ""), refund.id)


def _claim(story: Story, row: RefundRow, left: dict[str, Refund]) -> Refund | None:
    """By id where we know it, else by our names; a success first."""
    if row.re is not None:
        return left.pop(row.re, None)
    mine = [
        refund
        for refund in left.values()
        if refund.metadata
        and refund.metadata.get("eo_refund") == str(row.id)
        and refund.metadata.get("eo_order") == str(story.order.id)
    ]
    if not mine:
        return None
    return left.pop(min(mine, key=lambda refund: (refund.status != "succeeded", refund.created, refund.id)).id)


def _booked_for_nobody(story: Story, known: dict[str | None, bool]) -> Iterator[Found]:
    for entry in story.entries:
        kind, _, refund_id = entry.reference.partition(":")
        is_of_duplicate = kind in ("refund_duplicate", "refund_duplicate_failed")
        is_of_refund = is_of_duplicate or kind in ("refund_pending", "refund", "refund_failed")
        if is_of_refund and known.get(refund_id) is not is_of_duplicate:
            yield Found("ledger_imbalance", entry.payment_intent_id or "", str(story.order.id))


def _judge(story: Story, row: RefundRow, refund: Refund | None, cut_off: datetime) -> str | None:
    if refund is None:
        return _without_stripe(row, cut_off)
    booked = _booked(story, row, refund.id)
    settled = max(_time(refund.created), row.updated_at or row.at)
    right = _right(row, refund)
    is_elsewhere = row.charge.settled is not None
    needed = {
        "refund_pending": bool(row.re) and right["refund_pending"].booked.minor > 0,
        "refund": row.txn,
        "refund_failed": row.failure_txn,
    }
    if any(needed[kind] and kind not in booked for kind in needed) or (
        is_elsewhere and any(entry.booked.currency == row.currency for entry in booked.values())
    ):
        return _young("refund_missing_locally", settled, cut_off)
    same_payment = row.charge.pi in (None, refund.payment_intent)
    if (row.amount, row.currency) != (refund.amount, refund.currency) or not same_payment or _moved_other(row, refund):
        return "refund_amount_mismatch"
    if refund.status not in SAME_WORD[row.status]:
        moment = _time(refund.created) if row.status in OPEN else settled
        back = refund.failure_balance_transaction
        came_back = [_time(back.created)] if isinstance(back, BalanceTransaction) else []
        return _young("refund_status_mismatch", max([moment, *came_back]), cut_off)
    moved = {"refund": refund.balance_transaction, "refund_failed": refund.failure_balance_transaction}
    if row.re and any(moved[kind] and kind not in booked for kind in moved):
        return _young("refund_missing_locally", settled, cut_off)
    if any(booked[kind] != right.get(kind) for kind in booked):
        return "ledger_imbalance"
    if row.status in OPEN:
        return "stale_pending" if row.parked else _young("stale_pending", settled + timedelta(days=31), cut_off)
    return _fee(story, refund, cut_off)


class _Booked(NamedTuple):
    """An entry's sum, and beside it the customer's, where Stripe's balance got another currency."""

    booked: Money
    customer: Money | None


def _right(row: RefundRow, refund: Refund) -> dict[str, _Booked]:
    """What each entry of a refund must say, by the name of a plain one's; none of what Stripe has not moved."""
    due = 0 if row.charge.status == "duplicate" else row.amount - row.drawn
    moved = {"refund": refund.balance_transaction, "refund_failed": refund.failure_balance_transaction}
    if row.charge.settled is None:
        right = {"refund_pending": _Booked(Money(due, row.currency), None)}
        whole = _Booked(Money(row.amount, row.currency), None)
        return right | {kind: whole for kind, movement in moved.items() if movement}
    right = {"refund_pending": _Booked(Money(row.promised or 0, row.charge.settled.currency), Money(due, row.currency))}
    for kind, movement in moved.items():
        if isinstance(movement, BalanceTransaction):
            got = Money(abs(movement.amount), row.charge.settled.currency)
            right[kind] = _Booked(got, Money(row.amount, row.currency))
    return right


def _moved_other(row: RefundRow, refund: Refund) -> bool:
    """Whether Stripe moved another sum; in another currency its rate decides what that is."""
    movements = (refund.balance_transaction, refund.failure_balance_transaction)
    return any(
        isinstance(movement, BalanceTransaction)
        and movement.currency == row.currency
        and abs(movement.amount) != row.amount
        for movement in movements
    )


def _booked(story: Story, row: RefundRow, refund_id: str) -> dict[str, _Booked]:
    """What is booked of a refund, by the name of a plain one's entries: what was promised, and what moved."""
    of_duplicate = {"refund_duplicate": "refund", "refund_duplicate_failed": "refund_failed"}
    names = {**of_duplicate, "refund_pending": "refund_pending"}
    if row.charge.status != "duplicate":
        names = {name: name for name in ("refund_pending", "refund", "refund_failed")}
    return {
        names[e.kind]: _entry(e)
        for e in story.entries
        if e.reference.partition(":")[2] == refund_id and e.kind in names
    }


def _entry(entry: JournalEntry) -> _Booked:
    mirror = "liabilities:refunds_payable" if entry.kind == "refund_pending" else "assets:stripe:balance"
    (leg,) = (posting for posting in entry.postings if posting.code == mirror)
    return _Booked(Money(abs(leg.amount_minor), leg.currency), entry.customer)


def _without_stripe(row: RefundRow, cut_off: datetime) -> str | None:
    if row.re is not None or row.status == "succeeded":
        return "refund_missing_at_stripe"
    if row.status not in OPEN:
        return None
    return "stale_pending" if row.parked else _young("stale_pending", row.at, cut_off)


def _fee(story: Story, refund: Refund, cut_off: datetime) -> str | None:
    txn = refund.balance_transaction
    if not isinstance(txn, BalanceTransaction):
        return None
    booked = next((e for e in story.entries if e.reference == f"fee:{txn.id}"), None)
    if booked is None:
        return _young("fee_missing", _time(txn.created), cut_off) if txn.fee else None
    return None if max(p.amount_minor for p in booked.postings) == txn.fee else "fee_mismatch"


def _young(name: str, at: datetime, cut_off: datetime) -> str:
    return "in_flight" if at > cut_off else name


def _time(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
