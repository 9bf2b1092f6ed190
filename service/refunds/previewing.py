"""What a refund would be, before anybody asks for it: judged by the same rules, booked by the same functions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect
from service.ledger import Posting, refund_entry, refund_pending_entry
from service.ledger.refunding import Refunded
from service.orders.reading import row_of
from service.refunds.asking import judged, left_of
from service.refunds.model import RefundRequest


@dataclass(frozen=True, slots=True)
class Preview:
    """left: what can still be given back. amount: of it, what would be. booked: the postings, a debit is positive.

    is_exchanged: Stripe settles the charge in another currency, so it is booked there, at the rate of the charge.
    """

    left: int
    amount: int
    currency: str
    booked: tuple[Posting, ...]
    is_exchanged: bool


class _Owed(Record):
    """What refunds that failed have left owed, and whether the charge is settled in another currency."""

    owed_minor: int
    is_exchanged: bool


_OWED = Statement("""
SELECT o.amount_owed_minor AS owed_minor, c.settled_minor IS NOT NULL AS is_exchanged
  FROM orders o JOIN charges c ON c.account_id = o.account_id AND c.order_id = o.id AND c.status = 'succeeded'
 WHERE o.id = :order
""").returning(_Owed)


async def preview(engine: AsyncEngine, account_id: UUID, order_id: UUID, amount: int | None = None) -> Preview:
    """What would be given back now, `amount` or all that is left. Raises NotFound, Conflict or BadRequest."""
    request = RefundRequest(amount=UNSET if amount is None else amount)
    async with connect(engine) as connection:
        order = await row_of(connection, account_id, order_id)
        given = await judged(connection, order, request)
        owed = await connection.one(_OWED, {"order": order.id})
    booked = () if owed.is_exchanged else _booked(order.account_id, order.id, given, order.currency, owed.owed_minor)
    return Preview(left_of(order), given, order.currency, booked, owed.is_exchanged)


def _booked(account_id: UUID, order_id: UUID, amount: int, currency: str, owed: int) -> tuple[Posting, ...]:
    about = Refunded(
        account_id=account_id,
        order_id=order_id,
        payment_intent_id=None,
        stripe_refund_id="",  # Stripe gives it its id
        amount_minor=amount,
        currency=currency,
        occurred_at=datetime.now(UTC),
    )
    entries = refund_pending_entry(drawn_minor=min(owed, amount), **about), refund_entry(**about)
    return tuple(posting for entry in entries if entry is not None for posting in entry.postings)
