"""What is done to rows beside their ordinary way: put back, hidden, parked, retried, excused, withdrawn.

The two fragments of SQL are for the statements of others, as those of `rows`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.audit import Action, Deed, Shown, Who
from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Batch, Connection, Record, Statement, begin, connect
from service.outbox import rows

_ITS_ID = "x.id = i.id"
# Every row is made older by the interval $1, where a day is to pass at once.
OLDER = """LOCK TABLE outbox;
UPDATE outbox SET created_at = created_at - $1, deliver_after = deliver_after - $1, parked_at = parked_at - $1"""


def hide_fragment(source: str, is_its_row: str, *, until: str) -> str:
    """The row is not due before `until`."""
    return f"""UPDATE outbox x SET deliver_after = {until}
    FROM {source} WHERE {is_its_row} AND x.deliver_after < {until} AND x.parked_at IS NULL"""


def park_fragment(is_its_row: str, *, reason: str, source: str = "") -> str:
    """The row is taken out of delivery, for a human to look at."""
    return f"""UPDATE outbox x SET parked_at = now(), published = 0, last_error = {reason}
    {f"FROM {source}" if source else ""} WHERE {is_its_row} AND x.parked_at IS NULL"""


# A row that nobody claimed since its last answer waits for a time of its own, which a duplicate must not shorten.
_PUT_BACK = Statement("""
UPDATE outbox SET published = 0, last_error = coalesce(:reason, last_error),
    deliver_after = greatest(now() + CAST(:after AS interval) * (1 + 0.25 * random()),
                             CASE WHEN published = 0 THEN deliver_after END)
 WHERE id = ANY(CAST(:ids AS uuid[])) AND parked_at IS NULL
""")


async def put_back(engine: AsyncEngine, ids: Sequence[UUID], *, after_s: float, reason: str | None = None) -> None:
    """Return rows that were not worked on: due again in `after_s` seconds, not counted as a delivery (R10, R20)."""
    async with connect(engine) as connection:
        await connection.run(_PUT_BACK, {"ids": list(ids), "after": timedelta(seconds=after_s), "reason": reason})


_COMPLETE = Statement(rows.complete("unnest(CAST(:ids AS uuid[])) AS i(id)", _ITS_ID))


async def complete_rows(tx: Connection, ids: Sequence[UUID]) -> None:
    """Nothing is owed for these rows any more."""
    await tx.run(_COMPLETE, {"ids": ids})


class _Hidden(Batch, frozen=True):
    """Rows, and until when each is not due."""

    alias = "i"
    id: Sequence[UUID]
    until: Sequence[datetime]


_HIDE = Statement(hide_fragment(_Hidden.unnest(), _ITS_ID, until="i.until"))


async def hide_rows(tx: Connection, until: Sequence[tuple[UUID, datetime]]) -> None:
    """Each of these rows is not due before its moment."""
    hidden = _Hidden(id=[row_id for row_id, _ in until], until=[moment for _, moment in until])
    await tx.run(_HIDE, hidden.bound())


class _Parked(Batch, frozen=True):
    """Rows, and why each is parked."""

    alias = "i"
    id: Sequence[UUID]
    reason: Sequence[str]


_PARK = Statement(park_fragment(_ITS_ID, reason="i.reason", source=_Parked.unnest()))


async def park_rows(tx: Connection, reasons: Sequence[tuple[UUID, str]]) -> None:
    """Park each of these rows with its reason. One that is parked already keeps the reason it has."""
    parked = _Parked(id=[row_id for row_id, _ in reasons], reason=[reason for _, reason in reasons])
    await tx.run(_PARK, parked.bound())


class _Touched(Record):
    """A row as it was before, with the order that it is of."""

    id: UUID
    order_id: UUID
    kind: str
    last_error: str | None


_WAS = "was.id, was.order_id, was.kind, was.last_error"
_PARK_ONE = Statement(f"""
WITH was AS (SELECT * FROM outbox WHERE id = :id AND parked_at IS NULL FOR UPDATE)
{park_fragment("x.id = was.id", reason=":reason", source="was")} RETURNING {_WAS}
""").returning(_Touched)


async def park(engine: AsyncEngine, row_id: UUID, reason: str, *, who: Who) -> None:
    """Take one row out of delivery for a human to look at. Raises NotFound when there is no such open row."""
    async with begin(engine) as tx:
        row = await tx.row(_PARK_ONE, {"id": row_id, "reason": reason})
        if row is None:
            raise NotFound("There is no such open outbox row. `eo outbox list` shows what there is.")
        await audit.note_each(tx, who, Action.OUTBOX_PARK, [_deed(row, parked_before=False)], reason=reason)


_PARK_OR_ADD = Statement("""
UPDATE outbox SET parked_at = coalesce(parked_at, now()), published = 0,
    last_error = concat_ws('; ', CASE WHEN parked_at IS NOT NULL THEN last_error END, CAST(:reason AS text))
 WHERE id = :id
""")


async def park_or_add(engine: AsyncEngine, row_id: UUID, reason: str) -> None:
    """Park one row. Where a human has parked it meanwhile, `reason` is added to his."""
    async with connect(engine) as connection:
        await connection.run(_PARK_OR_ADD, {"id": row_id, "reason": reason})


_RETRY = Statement(f"""
WITH was AS (
  SELECT * FROM outbox
   WHERE parked_at IS NOT NULL AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(CAST(:ids AS uuid[])))
   ORDER BY id FOR UPDATE
)
UPDATE outbox x SET parked_at = NULL, deliver_after = now(), published = 0, opens_unsettled = 0, opens_alone = 0
  FROM was WHERE x.id = was.id
RETURNING {_WAS}
""").returning(_Touched)


async def retry(
    engine: AsyncEngine, ids: Sequence[UUID] | None = None, *, who: Who, reason: str | None = None
) -> list[UUID]:
    """Bring parked rows back (None: all of them), under all the same guards. Returns the ids that came back."""
    async with begin(engine) as tx:
        rows = await tx.rows(_RETRY, {"ids": ids})
        deeds = [_deed(row, parked_before=True) for row in rows]
        await audit.note_each(tx, who, Action.OUTBOX_RETRY, deeds, reason=reason)
    return [row.id for row in rows]


def _deed(row: _Touched, *, parked_before: bool) -> Deed:
    before: Shown = {"kind": row.kind, "parked": parked_before, "last_error": row.last_error}
    return Deed(str(row.id), row.order_id, before, {"parked": not parked_before})


_HASTEN = Statement("""
UPDATE outbox SET deliver_after = now()
 WHERE order_id = ANY(CAST(:orders AS uuid[])) AND kind = :kind AND parked_at IS NULL AND published = 0
   AND deliver_after > now()
""")


async def hasten(engine: AsyncEngine, order_ids: Sequence[str], kind: str) -> None:
    """What these orders wait for has come: their rows of this kind are due now. One that is out, or parked, stays."""
    if order_ids:
        async with connect(engine) as connection:
            await connection.run(_HASTEN, {"orders": order_ids, "kind": kind})


_EXCUSE = Statement("""
UPDATE outbox SET opens_unsettled = greatest(opens_unsettled - 1, 0), opens_alone = greatest(opens_alone - 1, 0)
 WHERE id = ANY(CAST(:ids AS uuid[]))
""")


async def excuse(engine: AsyncEngine, ids: Sequence[UUID]) -> None:
    """An open of each of these rows counts for nothing: its process is being stopped, or PostgreSQL took no answer."""
    if ids:
        async with connect(engine) as connection:
            await connection.run(_EXCUSE, {"ids": ids})


_WITHDRAW = Statement("DELETE FROM outbox WHERE order_id = :id AND kind IN ('charge', 'cancel')")


async def withdraw(tx: Connection, order_id: UUID) -> None:
    """No charge of this order is owed any more, nor the cancellation before one."""
    await tx.run(_WITHDRAW, {"id": order_id})
