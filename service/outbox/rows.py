"""The outbox: a row is a promise that stays until its effect is on the books. This room alone writes the table.

Publishing does not complete a row, it hides it for a while (`deliver_after`); only the transaction that books the
effect deletes it. So a lost broker, a dead relay and a dead worker all end the same way: the row becomes due again.
Rows are claimed by state, never by `id > last seen`: ids are not handed out in the order of commits.

Placing, opening and settling change orders, charges and outbox rows by one statement. What such a statement does to the
outbox is a fragment of SQL made here. In a fragment `x` is the row, `source` a table expression of the statement around
it, and `is_its_row` the condition that joins the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import tracing
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import Settings

CLAIM_MAX = 512  # rows per claim: enough for eight full messages, small enough to stay a millisecond
SUSPECT_OPENS = 2  # once is a worker that was restarted

# Null for what is no charge: such a row must not pass for that of attempt 1.
ATTEMPT = "CASE WHEN x.kind = 'charge' THEN coalesce(CAST(x.payload ->> 'attempt' AS smallint), 1) END"
EFFECT = "CAST(x.payload ->> 'effect' AS uuid)"
# The rows as readers see them, to stand in a FROM. It is no view, and the planner looks through it.
# attempt: of a charge. effect: the id of the change or refund, for all other kinds.
# is_early: the row was answered for, and the answer said when to ask again.
ROWS = f"""(
  SELECT id, account_id, order_id, kind, {ATTEMPT} AS attempt, {EFFECT} AS effect, created_at, deliver_after,
         published, deliveries, opens_unsettled, opens_alone, last_error, parked_at,
         parked_at IS NOT NULL AS is_parked,
         published = 0 AND opens_unsettled = 0 AND deliver_after > now() AS is_early
    FROM outbox x) AS x"""


def promise(
    row_id: str,
    account_id: str,
    order_id: str,
    *,
    source: str,
    kind: str = "'charge'",
    payload: str = """'{"attempt": 1}'""",
    deliver_after: str = "now()",
    headers: str = "",
) -> str:
    """An effect of these orders is owed from `deliver_after` on: its kind, and which one it is.

    The payload of a charge is `{"attempt": n}`, that of a `capture`, `cancel` or `refund` is `{"effect": <its id>}`.
    `headers`: where traces are on, JSON with the traceparent of the span that promises it.
    """
    more, values = (", headers", f", {headers}") if headers else ("", "")
    return f"""INSERT INTO outbox (id, account_id, order_id, kind, payload, deliver_after{more})
  SELECT {row_id}, {account_id}, {order_id}, {kind}, {payload}, {deliver_after}{values}
    FROM {source}"""


def count_open(source: str, is_its_row: str) -> str:
    """The row was opened: it is hidden for `:hidden`, and the open is counted until the row is settled (R10)."""
    return f"""UPDATE outbox x SET deliveries = x.deliveries + 1, opens_unsettled = x.opens_unsettled + 1,
      opens_alone = x.opens_alone + CAST(:alone AS int),
      deliver_after = greatest(x.deliver_after, now() + CAST(:hidden AS interval))
    FROM {source} WHERE {is_its_row}"""


def give_back(source: str, is_its_row: str, *, delay: str, error: str, parks: str) -> str:
    """The row was answered for, and its effect is still owed: it is due after `delay`, or parked where `parks` is true.

    A row that a human has parked meanwhile stays parked, with his reason.
    """
    return f"""UPDATE outbox x SET deliver_after = now() + {delay}, published = 0, opens_unsettled = 0, opens_alone = 0,
      last_error = CASE WHEN x.parked_at IS NULL THEN {error} ELSE x.last_error END,
      parked_at = CASE WHEN x.parked_at IS NULL AND {parks} THEN now() ELSE x.parked_at END
    FROM {source} WHERE {is_its_row}"""


def complete(source: str, is_its_row: str) -> str:
    """The promise is kept, or nothing is owed any more: the row goes."""
    return f"DELETE FROM outbox x USING {source} WHERE {is_its_row}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows this relay has made invisible and must now publish. `republished` counts those that were out before.

    `suspects`, some of `ids`, were opened SUSPECT_OPENS times without settling: one of them may be what kills its
    worker, so each travels alone and takes no neighbour along when it is parked (R10).
    """

    ids: list[UUID]
    republished: int
    suspects: frozenset[UUID] = frozenset()
    promised: Mapping[UUID, str] = field(default_factory=dict)  # the traceparents of rows, where traces are on


class _Claimed(Record):
    id: UUID
    published: int
    opens_unsettled: int
    traceparent: str


# While the window is all but full nothing is claimed: room for a few at a time would make messages of a few.
# MATERIALIZED: without it the planner may run the locking subquery once per row, and LIMIT would not limit.
_CLAIM_SQL = """
WITH room AS (
  SELECT CASE WHEN n >= least(CAST(:most AS bigint), CAST(:window AS bigint) / 8) THEN n ELSE 0 END AS n
    FROM (SELECT CAST(:window AS bigint) - count(*) AS n FROM (
      SELECT FROM outbox WHERE parked_at IS NULL AND deliver_after > now() AND published > 0 LIMIT :window) AS o) AS r
), again AS MATERIALIZED (
  SELECT id FROM outbox
   WHERE parked_at IS NULL AND deliver_after <= now() AND published > 0
   ORDER BY deliver_after LIMIT least(CAST(:republish_max AS bigint), (SELECT n FROM room)) FOR UPDATE SKIP LOCKED
), fresh AS MATERIALIZED (
  SELECT id FROM outbox
   WHERE parked_at IS NULL AND deliver_after <= now() AND published = 0
   ORDER BY deliver_after LIMIT least(CAST(:most AS bigint), (SELECT n FROM room) - (SELECT count(*) FROM again))
   FOR UPDATE SKIP LOCKED
), due AS (
  SELECT id FROM fresh UNION ALL SELECT id FROM again
)
UPDATE outbox o SET published = o.published + 1,
    deliver_after = now() + (1 + 0.25 * random())
      * least(CAST(:lease AS interval) * power(2, least(o.published, 8)), CAST(:longest AS interval))
  FROM due WHERE o.id = due.id
RETURNING o.id, o.published, o.opens_unsettled
"""
_CLAIM = Statement(f"{_CLAIM_SQL}, '' AS traceparent").returning(_Claimed)
_CLAIM_TRACED = Statement(_CLAIM_SQL + ", coalesce(o.headers ->> 'traceparent', '') AS traceparent").returning(_Claimed)


async def claim(engine: AsyncEngine, settings: Settings, *, republish_max: int) -> Claim:
    """Claim due rows, oldest first, while fewer than `events_out_max` are out (R11); skip what another relay holds.

    A claimed row comes due again after the outbox lease, doubled for each publish that nobody answered, with jitter.
    At most `republish_max` of them may have been published before: a wiped broker must not become a stampede.
    """
    async with connect(engine) as connection:
        claimed = await connection.rows(
            _CLAIM if tracing.spans is None else _CLAIM_TRACED,
            {
                "window": settings.events_out_max,
                "most": CLAIM_MAX,
                "republish_max": republish_max,
                "lease": timedelta(seconds=settings.outbox_lease_s),
                "longest": timedelta(seconds=max(settings.retry_max_s, settings.outbox_lease_s)),
            },
        )
    suspects = frozenset(r.id for r in claimed if r.opens_unsettled >= SUSPECT_OPENS)
    promised = {} if tracing.spans is None else {r.id: r.traceparent for r in claimed}
    return Claim([r.id for r in claimed], sum(r.published > 1 for r in claimed), suspects, promised)
