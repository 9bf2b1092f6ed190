"""Telling the producer that a payment is disputed, how that was decided, or that its bank believes it to be fraud."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from service import notices
from service.disputes.model import FraudWarning
from service.disputes.reading import COLUMNS, DisputeRow, dispute_of
from service.foundation.postgres.sql import Connection, Record, Statement
from service.states import DISPUTE_HOLDS_MONEY
from service.stripe_gateway.disputes import Dispute as Shown


class Moved(Record):
    """A dispute that came into another state. `was`: the one before, None where it is new; `word`: Stripe's."""

    id: str
    order_id: UUID
    was: str | None
    status: str
    word: str


class _Told(DisputeRow):
    account_id: UUID


_TOLD = Statement(f"""
SELECT {COLUMNS}, d.account_id FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE d.id = ANY(CAST(:ids AS text[])) ORDER BY d.id
""").returning(_Told)

_DECISIONS: Mapping[str, notices.NoticeType] = {"won": "dispute.won", "lost": "dispute.lost"}
# Of one of these it was told, or is known otherwise, that the dispute was opened.
_WAS_OPENED = DISPUTE_HOLDS_MONEY | {"won"}


async def tell_of_disputes(tx: Connection, moved: Sequence[Moved], shown: Mapping[str, Shown]) -> None:
    """Tell of these disputes, which `tx` has just moved to what is shown of them."""
    kinds = {one.id: kind for one in moved if (kind := _kind(one)) is not None}
    if kinds:
        rows = await tx.rows(_TOLD, {"ids": list(kinds)})
        await notices.tell(tx, [_fact(row, kinds[row.id], shown[row.id]) for row in rows])


def _kind(moved: Moved) -> notices.NoticeType | None:
    if moved.was == moved.status:
        return None
    if moved.status in DISPUTE_HOLDS_MONEY - {"lost"} and moved.was not in _WAS_OPENED:
        return "dispute.opened"
    return _DECISIONS.get(moved.status)


def _fact(row: _Told, kind: notices.NoticeType, shown: Shown) -> notices.Fact:
    # An appeal may decide anew, by a movement more; it is opened once.
    which = "" if kind == "dispute.opened" else str(len(shown.balance_transactions))
    return notices.Fact(row.account_id, kind, row.id, which, row.order_id, dispute_of(row))


async def tell_of_warnings(tx: Connection, account_of: Mapping[str, UUID], made: Sequence[FraudWarning]) -> None:
    """Tell of these early fraud warnings, which `tx` has just stored. `account_of`: whose each is, by its id."""
    facts = [
        notices.Fact(account_of[one.id], "fraud_warning.created", one.id, "", UUID(one.order_id), one) for one in made
    ]
    await notices.tell(tx, facts)
