"""Named passes over the whole ledger: what the database promises, recomputed from the rows.

The triggers refuse damage; these find what was done where no trigger looked: by a superuser, a dump, a disk.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import NO_TIMEOUT, Connection, Record, Statement, snapshot
from service.ledger.entry import CHART, JournalEntry, Posting, money_or_none
from service.ledger.journal import charge_reference, duplicate_reference
from service.ledger.movement_checks import MOVEMENT_BOOKED_OTHERWISE
from service.ledger.opening_checks import OPENING_MISPLACED
from service.ledger.payout_checks import PAYOUT_NOT_EVEN
from service.ledger.refund_checks import PAYABLE_DIFFERS, REFUNDED_TOO_MUCH
from service.ledger.rollups import HORIZON

FINDINGS_MAX = 100  # per pass: one fault repeated a million times is one fault, and memory stays flat
STREAM_ROWS = 1_000  # rows of the server-side cursor held at once


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `name` is the pass, stable for programs; `ids` say where; `detail` is for people."""

    name: str
    ids: tuple[str, ...]
    detail: str


_CHART_ROWS = ", ".join(f"('{code}', '{kind}')" for code, kind in CHART.items())


class _Fault(Record):
    ids: list[str]
    detail: str


_FAULTS = {
    "entry_unbalanced": """
        SELECT ARRAY[CAST(entry_id AS text)] AS ids, sum(amount_minor) || ' ' || currency || ' left over' AS detail
          FROM postings GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0""",
    "ledger_unbalanced": """
        SELECT ARRAY[currency] AS ids,
               sum(amount_minor) || ' ' || currency || ' left over in the whole ledger' AS detail
          FROM postings GROUP BY currency HAVING sum(amount_minor) <> 0""",
    "entry_too_short": """
        SELECT ARRAY[CAST(e.id AS text), e.reference] AS ids, count(p.entry_id) || ' posting(s)' AS detail
          FROM journal_entries e LEFT JOIN postings p ON p.entry_id = e.id
         GROUP BY e.id HAVING count(p.entry_id) < 2""",
    "posting_orphaned": """
        SELECT ARRAY[CAST(p.entry_id AS text), CAST(p.line AS text)] AS ids, 'a posting without its entry' AS detail
          FROM postings p LEFT JOIN journal_entries e ON e.id = p.entry_id
         WHERE e.id IS NULL""",
    "posting_added_later": """
        SELECT ARRAY[CAST(p.entry_id AS text), CAST(p.line AS text)] AS ids,
               'written by another transaction, or for another time, than its entry' AS detail
          FROM postings p JOIN journal_entries e ON e.id = p.entry_id
         WHERE p.xid <> e.xid OR p.occurred_at <> e.occurred_at""",
    "posting_misplaced": """
        SELECT ARRAY[CAST(p.entry_id AS text), CAST(p.line AS text)] AS ids,
               'its ledger account is missing, or of another owner or currency' AS detail
          FROM postings p
          JOIN journal_entries e ON e.id = p.entry_id
          LEFT JOIN ledger_accounts l
            ON l.id = p.ledger_account_id AND l.account_id = e.account_id AND l.currency = p.currency
         WHERE l.id IS NULL""",
    "account_not_in_chart": f"""
        SELECT ARRAY[CAST(l.id AS text), l.code] AS ids, 'the chart has no such code with type ' || l.type AS detail
          FROM ledger_accounts l
          LEFT JOIN (VALUES {_CHART_ROWS}) AS chart (code, type) USING (code, type)
         WHERE chart.code IS NULL""",
    "charge_booked_twice": f"""
        SELECT ARRAY[CAST(c.id AS text), CAST(d.id AS text)] AS ids, c.reference || ' and ' || d.reference AS detail
          FROM journal_entries c
          JOIN journal_entries d
            ON d.account_id = c.account_id
           AND d.reference = replace(c.reference, '{charge_reference("")}', '{duplicate_reference("")}')
         WHERE c.reference LIKE '{charge_reference("")}%'""",
    "refunded_too_much": REFUNDED_TOO_MUCH,
    "payable_differs": PAYABLE_DIFFERS,
    "movement_booked_otherwise": MOVEMENT_BOOKED_OTHERWISE,
    "payout_not_even": PAYOUT_NOT_EVEN,
    "opening_misplaced": OPENING_MISPLACED,
    "rollup_differs": f"""
        WITH horizon AS MATERIALIZED ({HORIZON}),
        recomputed AS (
          SELECT ledger_account_id, CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day,
                 sum(greatest(amount_minor, 0)) AS debit, sum(greatest(-amount_minor, 0)) AS credit
            FROM postings WHERE xid < (SELECT xid FROM horizon) GROUP BY 1, 2
        ), kept AS (
          SELECT ledger_account_id, day, debit_minor, credit_minor
            FROM ledger_rollups
           WHERE (SELECT xid FROM horizon) > '0' AND (debit_minor, credit_minor) <> (0, 0)
        )
        SELECT ARRAY[CAST(ledger_account_id AS text), CAST(day AS text)] AS ids,
               format('kept %s/%s, recomputed %s/%s (debit/credit)', debit_minor, credit_minor, debit, credit) AS detail
          FROM kept FULL JOIN recomputed USING (ledger_account_id, day)
         WHERE (debit_minor, credit_minor) IS DISTINCT FROM (debit, credit)""",
}

_PASSES = {name: Statement(f"{faults} LIMIT {FINDINGS_MAX}").returning(_Fault) for name, faults in _FAULTS.items()}


async def verify(engine: AsyncEngine) -> list[Finding]:
    """Every fault in the ledger, at most FINDINGS_MAX per pass; an empty list: all passes found none.

    Passes: those of `_PASSES`, and `entry_altered` (the stored digest is not that of the stored rows). All
    see one snapshot and block nobody; the time is that of reading the ledger a few times.
    """
    async with snapshot(engine) as connection:
        await connection.run(NO_TIMEOUT)
        found = [finding for name in _PASSES for finding in await _run(connection, name)]
        return found + await _altered(connection)


async def _run(connection: Connection, name: str) -> list[Finding]:
    rows = await connection.rows(_PASSES[name])
    return [Finding(name, tuple(row.ids), row.detail) for row in rows]


async def _altered(connection: Connection) -> list[Finding]:
    found: list[Finding] = []
    async for rows in _by_entry(connection):
        fault = _alteration(rows)
        if fault:
            found.append(Finding("entry_altered", (str(rows[0].id), rows[0].reference), fault))
        if len(found) == FINDINGS_MAX:
            break
    return found


class _Leg(Record):
    """A posting as it is stored, with what its whole entry says."""

    id: UUID
    account_id: UUID
    reference: str
    kind: str
    digest: bytes
    order_id: UUID | None
    payment_intent_id: str | None
    customer_minor: int | None
    customer_currency: str | None
    occurred_at: datetime
    code: str
    currency: str
    amount_minor: int


_CONTENT = Statement("""
SELECT e.id, e.account_id, e.reference, e.kind, e.digest, e.order_id, e.payment_intent_id, e.customer_minor,
       e.customer_currency, e.occurred_at, coalesce(l.code, 'a missing account') AS code, p.currency,
       p.amount_minor
  FROM journal_entries e
  JOIN postings p ON p.entry_id = e.id
  LEFT JOIN ledger_accounts l ON l.id = p.ledger_account_id
 ORDER BY e.id
""").returning(_Leg)


async def _by_entry(connection: Connection) -> AsyncIterator[list[_Leg]]:
    """The rows of each entry, one entry at a time, from a server-side cursor."""
    entry: list[_Leg] = []
    async for row in connection.each(_CONTENT, held=STREAM_ROWS):
        if entry and entry[0].id != row.id:
            yield entry
            entry = []
        entry.append(row)
    if entry:
        yield entry


def _alteration(rows: list[_Leg]) -> str | None:
    """What shows that these rows are not what was booked, or None."""
    try:
        digest = _rebuilt(rows[0], rows).digest
    except ValueError as error:
        return str(error)
    return None if digest == rows[0].digest else "the content is not what the digest was made of"


def _rebuilt(entry: _Leg, legs: Iterable[_Leg]) -> JournalEntry:
    return JournalEntry(
        account_id=entry.account_id,
        reference=entry.reference,
        kind=entry.kind,
        order_id=entry.order_id,
        payment_intent_id=entry.payment_intent_id,
        occurred_at=entry.occurred_at,
        postings=tuple(Posting(leg.code, leg.currency, leg.amount_minor) for leg in legs),
        customer=money_or_none(entry.customer_minor, entry.customer_currency),
    )
