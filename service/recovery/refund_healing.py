"""One refund that Stripe shows and this database has not on its books: adopted, settled, completed; nothing is sent."""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, orders
from service.foundation.postgres.sql import Record, Statement, begin
from service.foundation.settings import Settings
from service.recovery import lives
from service.recovery.adoption import Step, Verdict
from service.recovery.instance import instance_of
from service.recovery.refund_adoption import ListedRefund, judge_listed
from service.recovery.refund_knowing import what_is_known
from service.recovery.refund_verification import refund_brought_back
from service.refunds.booking import BOOKING, Booking
from service.refunds.booking import entries as entries_of
from service.refunds.settling import movement_id
from service.states import REFUND_FINAL
from service.stripe_gateway.objects import Refund

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway

_ANOTHERS = Verdict(Step.REPORT, "it bears the marks of another installation")


async def adopt_refund(engine: AsyncEngine, shown: Refund, settings: Settings) -> Verdict:
    """Bring one refund back as Stripe shows it, both balance transactions expanded; one made past us gets no key.

    As often as anybody likes: what is known already is left, or settled.
    """
    listed = ListedRefund.of(shown, await instance_of(engine))
    if listed is None:
        return _ANOTHERS
    return await refund_brought_back(engine, listed, await lives.current(engine, settings), settings)


async def heal_refund(
    engine: AsyncEngine, gateway: "StripeGateway", settings: Settings, refund_id: str, *, dry_run: bool
) -> Verdict:
    """Put a refund on the books as Stripe shows it; a dry run only tells. Raises IncompleteListing."""
    shown = await gateway.retrieve_refund(refund_id)
    listed = None if shown is None else ListedRefund.of(shown, await instance_of(engine))
    if shown is None or listed is None:
        return _ANOTHERS if shown else Verdict(Step.REPORT, "Stripe has no such refund")
    (known,) = await what_is_known(engine, [listed])
    verdict = judge_listed(listed, known)
    if verdict.step is Step.NOTHING and known.is_held and not known.leased:
        return await _complete(engine, shown, dry_run=dry_run)
    if dry_run or verdict.step not in (Step.ADOPT, Step.SETTLE):
        return verdict
    return await adopt_refund(engine, shown, settings)


class _Held(Record):
    """A refund that bears an id of Stripe's."""

    account_id: UUID
    order_id: UUID
    status: str
    amount_minor: int
    currency: str
    id: UUID
    charge_id: UUID
    drawn_minor: int
    of_duplicate: bool
    is_exchanged: bool
    is_early: bool
    waits: bool


_HELD = Statement(f"""
SELECT r.id, r.account_id, r.order_id, r.status, r.amount_minor, r.currency, r.drawn_minor, {BOOKING}
  FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = :refund
  JOIN charges p ON p.id = r.charge_id
""").returning(_Held)


class _Booked(Record):
    reference: str


_BOOKED = Statement("""
SELECT reference FROM journal_entries WHERE account_id = :account AND reference = ANY(CAST(:references AS text[]))
""").returning(_Booked)


_MOVED = Statement("""
UPDATE refunds SET balance_transaction_id = coalesce(CAST(:gone AS text), balance_transaction_id),
    failure_transaction_id = coalesce(CAST(:back AS text), failure_transaction_id), updated_at = now()
 WHERE account_id = :account AND stripe_refund_id = :refund
""")


async def _complete(engine: AsyncEngine, shown: Refund, *, dry_run: bool) -> Verdict:
    """Book what a settled refund has not on the books."""
    async with begin(engine) as tx:
        held = await tx.one(_HELD, {"refund": shown.id})
        await orders.lock(tx, [held.order_id])
        if (held.status, held.amount_minor, held.currency) != (shown.status, shown.amount, shown.currency):
            return Verdict(Step.REPORT, f"it is {held.status} here and {shown.status} at Stripe, or over another sum")
        if held.status not in REFUND_FINAL:
            return Verdict(Step.REPORT, "it has no end yet")
        entries = (await entries_of(tx, [Booking.of(held, shown)])).get(held.id)
        if entries is None:
            return Verdict(Step.REPORT, "its payment is not booked yet, which tells what this refund is worth")
        references = [entry.reference for entry in entries]
        booked = await tx.rows(_BOOKED, {"account": held.account_id, "references": references})
        if len(booked) == len(references):
            return Verdict(Step.REPORT, "it is settled and booked; what differs else is for a human")
        if not dry_run:
            if (await ledger.post(tx, entries)).conflicting:
                raise RuntimeError(f"{shown.id} is on the books with other content")
            gone, back = movement_id(shown.balance_transaction), movement_id(shown.failure_balance_transaction)
            await tx.run(_MOVED, {"account": held.account_id, "refund": shown.id, "gone": gone, "back": back})
    return Verdict(Step.SETTLE)
