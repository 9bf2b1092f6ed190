"""A batch of journal entries onto the books: one statement, inside the caller's transaction.

The triggers want an entry and its postings in one statement. Chart accounts are found by a join in it, not in
a cache: a cached account could have been rolled back with the transaction that made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from service.foundation.postgres.sql import Connection, Row, Statement
from service.ledger.journal import CHART, JournalEntry

# Where the chart lacks an account, nothing is inserted and `charted` is false. Ordered by the unique key: two
# batches that share references wait for each other in one order, and cannot deadlock (R5).
_POST = Statement("""
WITH line AS MATERIALIZED (
  SELECT l.entry_id, l.line, l.currency, l.amount_minor, l.occurred_at, a.id AS ledger_account_id
    FROM unnest(CAST(:line_entry_ids AS uuid[]), CAST(:line_account_ids AS uuid[]),
                CAST(:lines AS smallint[]), CAST(:codes AS text[]), CAST(:currencies AS text[]),
                CAST(:amounts AS bigint[]), CAST(:line_occurred_at AS timestamptz[]))
      AS l (entry_id, account_id, line, code, currency, amount_minor, occurred_at)
    LEFT JOIN ledger_accounts a
      ON a.account_id = l.account_id AND a.code = l.code AND a.currency = l.currency
), chart AS MATERIALIZED (
  SELECT bool_and(ledger_account_id IS NOT NULL) AS complete FROM line
), entry AS (
  INSERT INTO journal_entries
    (id, account_id, reference, kind, digest, order_id, payment_intent_id, occurred_at)
  SELECT e.id, e.account_id, e.reference, e.kind, e.digest, e.order_id, e.payment_intent_id, e.occurred_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:account_ids AS uuid[]), CAST(:references AS text[]),
                CAST(:kinds AS text[]), CAST(:digests AS bytea[]), CAST(:order_ids AS uuid[]),
                CAST(:payment_intent_ids AS text[]), CAST(:occurred_at AS timestamptz[])) WITH ORDINALITY
      AS e (id, account_id, reference, kind, digest, order_id, payment_intent_id, occurred_at, nth)
   WHERE (SELECT complete FROM chart)
   ORDER BY e.account_id, e.reference COLLATE "C", e.nth
  ON CONFLICT (account_id, reference) DO NOTHING
  RETURNING id
), posting AS (
  INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
  SELECT line.entry_id, line.line, line.ledger_account_id, line.currency, line.amount_minor,
         line.occurred_at
    FROM line WHERE line.entry_id = ANY (ARRAY(SELECT id FROM entry))
)
SELECT (SELECT complete FROM chart) AS charted, ARRAY(SELECT id FROM entry) AS booked
""")

# A second statement, because the first sees no row of a transaction that committed while it waited.
_STORED = Statement("""
SELECT e.account_id, e.reference, e.digest
  FROM unnest(CAST(:account_ids AS uuid[]), CAST(:references AS text[])) AS r (account_id, reference)
  JOIN journal_entries e ON e.account_id = r.account_id AND e.reference = r.reference
""")

_OPEN_ACCOUNTS = Statement("""
INSERT INTO ledger_accounts (account_id, code, currency, type)
SELECT * FROM unnest(CAST(:account_ids AS uuid[]), CAST(:codes AS text[]), CAST(:currencies AS text[]),
                     CAST(:types AS text[]))
ON CONFLICT (account_id, code, currency) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class PostResult:
    """What became of each entry of a batch; each is in exactly one of the three, in the batch's order.

    `conflicting`: other content is on the books under that reference. The caller parks the new one.
    """

    booked: tuple[JournalEntry, ...] = ()
    repeated: tuple[JournalEntry, ...] = ()
    conflicting: tuple[JournalEntry, ...] = ()


async def post(connection: Connection, entries: Sequence[JournalEntry]) -> PostResult:
    """Book what is new in `entries`, any accounts and currencies, in the caller's READ COMMITTED transaction.

    An entry already on the books, or twice in the batch, is `repeated`, and nothing is written for it. What
    another transaction is writing right now is waited for. Raises the driver's error (40P01, 55P03, 23514, …): the
    caller's transaction is then lost, and repeating it whole is safe.
    """
    if not entries:
        return PostResult()
    offered = {uuid7(): entry for entry in entries}
    booked = await _insert(connection, offered)
    rest = [entry for entry_id, entry in offered.items() if entry_id not in booked]
    stored = await _stored_digests(connection, rest) if rest else {}
    repeated = {id(e) for e in rest if stored[e.account_id, e.reference] == e.digest}
    return PostResult(
        booked=tuple(entry for entry_id, entry in offered.items() if entry_id in booked),
        repeated=tuple(e for e in rest if id(e) in repeated),
        conflicting=tuple(e for e in rest if id(e) not in repeated),
    )


async def _insert(connection: Connection, offered: dict[UUID, JournalEntry]) -> set[UUID]:
    """The ids of the entries that are new on the books."""
    parameters = _columns(offered)
    outcome = await _post_once(connection, parameters)
    if not outcome.charted:
        await _open_accounts(connection, offered)
        outcome = await _post_once(connection, parameters)
    return set(outcome.booked)


async def _post_once(connection: Connection, parameters: dict[str, list[object]]) -> Row:
    return (await connection.rows(_POST, parameters))[0]


async def _open_accounts(connection: Connection, offered: dict[UUID, JournalEntry]) -> None:
    """Make the chart accounts these entries use. Of two racers one makes it, the other waits and sees it."""
    wanted = sorted({(e.account_id, p.code, p.currency) for e in offered.values() for p in e.postings})
    await connection.rows(
        _OPEN_ACCOUNTS,
        {
            "account_ids": [account_id for account_id, _, _ in wanted],
            "codes": [code for _, code, _ in wanted],
            "currencies": [currency for _, _, currency in wanted],
            "types": [CHART[code] for _, code, _ in wanted],
        },
    )


async def _stored_digests(connection: Connection, entries: list[JournalEntry]) -> dict[tuple[UUID, str], bytes]:
    keys = {"account_ids": [e.account_id for e in entries], "references": [e.reference for e in entries]}
    rows = await connection.rows(_STORED, keys)
    return {(row.account_id, row.reference): row.digest for row in rows}


def _columns(offered: dict[UUID, JournalEntry]) -> dict[str, list[object]]:
    """The batch as one array per column: the statement is the same for 1 entry and for 500."""
    lines = [
        (entry_id, entry, line, posting)
        for entry_id, entry in offered.items()
        for line, posting in enumerate(entry.postings, start=1)
    ]
    entries = offered.values()
    return {
        "ids": list(offered),
        "account_ids": [e.account_id for e in entries],
        "references": [e.reference for e in entries],
        "kinds": [e.kind for e in entries],
        "digests": [e.digest for e in entries],
        "order_ids": [e.order_id for e in entries],
        "payment_intent_ids": [e.payment_intent_id for e in entries],
        "occurred_at": [e.occurred_at for e in entries],
        "line_entry_ids": [entry_id for entry_id, _, _, _ in lines],
        "line_account_ids": [entry.account_id for _, entry, _, _ in lines],
        "line_occurred_at": [entry.occurred_at for _, entry, _, _ in lines],
        "lines": [line for _, _, line, _ in lines],
        "codes": [posting.code for _, _, _, posting in lines],
        "currencies": [posting.currency for _, _, _, posting in lines],
        "amounts": [posting.amount_minor for _, _, _, posting in lines],
    }
