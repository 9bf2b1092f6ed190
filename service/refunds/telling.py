"""Telling the producer of a refund that it has come to an end. A canceled one has failed: the money did not go back."""

from collections.abc import Collection
from uuid import UUID

from service import notices
from service.foundation.postgres.sql import Connection, Statement
from service.refunds.reading import COLUMNS, RefundRow, refund_of
from service.states import REFUND_FINAL, in_sql


class _Told(RefundRow):
    account_id: UUID


_TOLD = Statement(f"""
SELECT {COLUMNS}, account_id FROM refunds
 WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN {in_sql(REFUND_FINAL)}
""").returning(_Told)


async def tell_of_refunds(tx: Connection, refund_ids: Collection[UUID]) -> None:
    """Tell of these refunds, which `tx` has just moved."""
    if refund_ids:
        await notices.tell(tx, [_of_refund(row) for row in await tx.rows(_TOLD, {"ids": list(refund_ids)})])


def _of_refund(row: _Told) -> notices.Fact:
    shown = refund_of(row)
    # One that was made at Stripe past us has another id of ours each time that it is forgotten and found.
    object_id = shown.id if row.producer_key is not None else row.stripe_refund_id or shown.id
    kind: notices.NoticeType = "refund.succeeded" if row.status == "succeeded" else "refund.failed"
    return notices.Fact(row.account_id, kind, object_id, "", row.order_id, shown)
