"""The pages of the reconciliation: what is open, by class and one by one, and each discrepancy with both its sides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import cursors
from service.foundation.errors import NotFound
from service.foundation.money import spelled
from service.foundation.postgres.sql import Record, Statement, connect
from service.reconcile.classes import (
    CLASSES,
    HEALABLE,
    HEALABLE_DISPUTES,
    HEALABLE_PAYOUTS,
    HEALABLE_REFUNDS,
    DiscrepancyClass,
)
from service.reconcile.results import NAMED, Discrepancy, Shown, discrepancy

PAGE = 100
COUNTED_MAX = 10_000  # open discrepancies that are summed up by class

# The acknowledgement that holds: it is of this opening, and the discrepancy is as it was then.
_HOLDING = """LEFT JOIN LATERAL (
    SELECT a.created_at, a.acknowledged_by, a.reason, a.amount_minor, a.ours, a.stripe FROM acknowledgements a
     WHERE a.fingerprint = d.fingerprint AND a.created_at >= d.opened_at ORDER BY a.created_at DESC LIMIT 1
  ) k ON (k.amount_minor, k.ours, k.stripe) IS NOT DISTINCT FROM (d.amount_minor, d.ours, d.stripe)"""


class OpenClass(Record):
    """The open discrepancies of a class in a currency. acknowledged: how many of them a person has accepted."""

    name: str
    currency: str | None
    count: int
    acknowledged: int
    amount: int | None
    oldest: datetime


_CLASSES = Statement(f"""
SELECT class AS name, d.currency, count(*) AS count, count(k.created_at) AS acknowledged,
       sum(d.amount_minor)::bigint AS amount, min(d.first_seen_at) AS oldest
  FROM (SELECT * FROM discrepancies WHERE resolved_at IS NULL ORDER BY first_seen_at LIMIT {COUNTED_MAX}) AS d
  {_HOLDING}
 GROUP BY class, d.currency ORDER BY min(d.first_seen_at), class, d.currency
""").returning(OpenClass)


class _Listed(Record):
    """An open discrepancy."""

    fingerprint: str
    name: str
    order_id: UUID | None
    payment_intent_id: str | None
    amount: int | None
    currency: str | None
    ours: str | None
    theirs: str | None
    first_seen: datetime
    acked_by: str | None
    acked_why: str | None


_LIST = Statement(f"""
SELECT d.fingerprint, class AS name, order_id, payment_intent_id, d.amount_minor AS amount,
       currency, d.ours::text AS ours, d.stripe::text AS theirs, first_seen_at AS first_seen,
       k.acknowledged_by AS acked_by, k.reason AS acked_why
  FROM (SELECT * FROM discrepancies
         WHERE resolved_at IS NULL AND first_seen_at >= :place
           AND (first_seen_at, fingerprint) > (CAST(:place AS timestamptz), CAST(:after AS text))
           AND (CAST(:name AS text) IS NULL OR class = CAST(:name AS text))
         ORDER BY first_seen_at, fingerprint LIMIT :limit) AS d
  {_HOLDING}
 ORDER BY first_seen_at, d.fingerprint
""").returning(_Listed)


@dataclass(frozen=True, slots=True)
class Open:
    """An open discrepancy of a list, with both sides by field."""

    listed: _Listed
    sides: list["Field"]


@dataclass(frozen=True, slots=True)
class OpenPage:
    """What is open: by class, and a page of it, the oldest first. after: the cursor of the next page."""

    classes: list[OpenClass]
    rows: list[Open]
    after: str | None


async def open_discrepancies(engine: AsyncEngine, *, name: str | None, after: str) -> OpenPage:
    """The open discrepancies behind that cursor, of one class or of all."""
    place, fingerprint = cursors.read_text(after)
    values = {"place": place, "after": fingerprint, "name": name, "limit": PAGE + 1}
    async with connect(engine) as connection:
        classes = await connection.rows(_CLASSES)
        rows = await connection.rows(_LIST, values)
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return OpenPage(
        classes,
        [Open(row, sides(_loaded(row.ours), _loaded(row.theirs), row.currency)) for row in rows[:PAGE]],
        None if last is None else cursors.write(last.first_seen, last.fingerprint),
    )


@dataclass(frozen=True, slots=True)
class Field:
    """What each side says of one thing. A side that has nothing of it is None."""

    name: str
    ours: str | None
    stripe: str | None

    @property
    def differs(self) -> bool:
        """Whether both sides speak of it, and not the same."""
        return None not in (self.ours, self.stripe) and self.ours != self.stripe


# The fields of both sides that are money, in minor units.
_MONEY = frozenset({"amount", "booked", "fee", "more", "net", "owed", "received", "refunded"})


def sides(ours: Mapping[str, Any] | None, stripe: Mapping[str, Any] | None, currency: str | None) -> list[Field]:
    """Both sides next to each other, field by field, ours first; money in `currency` where a side names none."""
    names = dict.fromkeys([*(ours or {}), *(stripe or {})])
    return [Field(name, _said(ours, name, currency), _said(stripe, name, currency)) for name in names]


def _said(side: Mapping[str, Any] | None, name: str, currency: str | None) -> str | None:
    value = None if side is None else side.get(name)
    if value is None or isinstance(value, str):
        return value
    of_side = (side or {}).get("currency") or currency
    if name in _MONEY and type(value) is int and isinstance(of_side, str):
        return spelled(value, of_side)
    return json.dumps(value)


def _loaded(side: str | None) -> dict[str, Any] | None:
    return None if side is None else json.loads(side)


class _State(Record):
    """Since when a discrepancy is open, when it was seen last, and when it was resolved."""

    fingerprint: str
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None


_STATE = Statement("""
SELECT fingerprint, opened_at, last_seen_at, resolved_at FROM discrepancies WHERE fingerprint = :fingerprint
""").returning(_State)

# The line of the newest report that has it knows more of it: which refund it is about.
_SHOWN = Statement(f"""
SELECT n, name, order_id, pi, ours, theirs, amount, currency, at, first_seen, fingerprint, acked_at, acked_by,
       acked_why, refund, {NAMED}
  FROM (SELECT coalesce(f.n, 0) AS n, d.class AS name, d.order_id, d.payment_intent_id AS pi, d.ours::text AS ours,
               d.stripe::text AS theirs, d.amount_minor AS amount, d.currency,
               coalesce(f.happened_at, d.first_seen_at) AS at, d.first_seen_at AS first_seen, d.fingerprint,
               k.created_at AS acked_at, k.acknowledged_by AS acked_by, k.reason AS acked_why, f.refund, d.reference
          FROM discrepancies d
          LEFT JOIN LATERAL (SELECT * FROM reconciliation_findings f
                              WHERE f.run_id = d.last_run_id AND f.fingerprint = d.fingerprint LIMIT 1) f ON true
          {_HOLDING}
         WHERE d.fingerprint = :fingerprint) AS s
""").returning(Shown)


class Accepted(Record):
    """That a person has accepted a discrepancy as it was."""

    created_at: datetime
    acknowledged_by: str
    reason: str


_ACCEPTED = Statement("""
SELECT created_at, acknowledged_by, reason FROM acknowledgements WHERE fingerprint = :fingerprint
 ORDER BY created_at DESC LIMIT 20
""").returning(Accepted)


@dataclass(frozen=True, slots=True)
class Page:
    """A discrepancy, both its sides, and what its class means."""

    found: Discrepancy
    state: _State
    sides: list[Field]
    of_class: DiscrepancyClass
    accepted: list[Accepted]

    @property
    def may_heal(self) -> bool:
        """Whether it is of a class that Stripe's own word may put right, and open."""
        return self.state.resolved_at is None and is_healable(self.found)


async def discrepancy_page(engine: AsyncEngine, fingerprint: str) -> Page:
    """The discrepancy of that fingerprint. Raises NotFound."""
    values = {"fingerprint": fingerprint}
    async with connect(engine) as connection:
        state = await connection.row(_STATE, values)
        shown = await connection.row(_SHOWN, values)
        accepted = await connection.rows(_ACCEPTED, values)
    if state is None or shown is None:
        raise NotFound("There is no such discrepancy.")
    found = discrepancy(shown, datetime.now(UTC))
    return Page(found, state, sides(found.ours, found.stripe, found.currency), CLASSES[found.name], accepted)


def is_healable(found: Discrepancy) -> bool:
    """Whether Stripe's word about an object of it may put it right."""
    return (
        (found.name in HEALABLE and found.payment_intent is not None)
        or (found.name in HEALABLE_REFUNDS and found.refund is not None)
        or (found.name in HEALABLE_DISPUTES and found.dispute is not None)
        or (found.name in HEALABLE_PAYOUTS and found.payout is not None)
    )
