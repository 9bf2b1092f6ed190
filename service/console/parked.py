"""The page of what a human has to decide: parked rows of the outbox by reason, and notices that were given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import cursors
from service.effects.parking import HELP, Parked
from service.foundation.postgres.sql import Record, Statement, connect
from service.outbox.rows import ROWS

PAGE = 100
COUNTED_MAX = 10_000  # parked rows that are sorted by reason, the oldest first
AT_ONCE_MAX = 1_000  # rows, or notices, that one click brings back

PERSON = "by_hand"  # the group of rows that an operator parked, with his own words
_BY_HAND = ("an operator took it out of delivery, and said why", "see whether his reason still holds, then retry")

# A row's reason: the first word of `last_error`, where it is one of ours.
_WORDS = ", ".join(f"'{word}'" for word in Parked)
_REASON = f"""CASE WHEN split_part(last_error, ':', 1) IN ({_WORDS})
            THEN split_part(last_error, ':', 1) ELSE '{PERSON}' END"""


class _Counted(Record):
    reason: str
    rows: int
    oldest: datetime
    newest: datetime


_GROUPS = Statement(f"""
SELECT reason, count(*) AS rows, min(parked_at) AS oldest, max(parked_at) AS newest
  FROM (SELECT {_REASON} AS reason, parked_at
          FROM {ROWS} WHERE parked_at IS NOT NULL ORDER BY parked_at LIMIT {COUNTED_MAX}) AS p
 GROUP BY reason ORDER BY min(parked_at), reason
""").returning(_Counted)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that are parked for one reason: what that means, what a human does, and how many there are."""

    reason: str
    means: str
    step: str
    rows: int
    oldest: datetime
    newest: datetime

    @property
    def at_once(self) -> int:
        """How many of them one click brings back."""
        return min(self.rows, AT_ONCE_MAX)


class Row(Record):
    """A parked row."""

    id: UUID
    order_id: UUID
    kind: str
    attempt: int | None
    reason: str
    last_error: str | None
    deliveries: int
    created_at: datetime
    parked_at: datetime


_LIST = Statement(f"""
SELECT id, order_id, kind, attempt, {_REASON} AS reason, last_error, deliveries, created_at, parked_at
  FROM {ROWS}
 WHERE parked_at IS NOT NULL AND parked_at >= :place
   AND (parked_at, id) > (CAST(:place AS timestamptz), CAST(:id AS uuid))
   AND (CAST(:reason AS text) IS NULL OR {_REASON} = CAST(:reason AS text))
 ORDER BY parked_at, id LIMIT :limit
""").returning(Row)


class Notice(Record):
    """A notice that was given up, or that an operator holds back. heard: its endpoint still wants notices."""

    id: UUID
    order_id: UUID | None
    type: str
    object_id: str
    url: str
    tries: int
    answer: str | None
    created_at: datetime
    ended_at: datetime | None
    heard: bool


_NOTICES = Statement("""
SELECT n.id, n.order_id, n.type, n.object_id, e.url, n.tries, n.answer, n.created_at, n.ended_at,
       e.deleted_at IS NULL AND e.gone_at IS NULL AS heard
  FROM (SELECT * FROM notices WHERE status = 'parked' AND id > :id ORDER BY id LIMIT :limit) AS n
  JOIN webhook_endpoints e ON e.id = n.endpoint_id
 ORDER BY n.id
""").returning(Notice)


class Given(Record):
    """How many notices are parked, and when the last of them was; counted up to COUNTED_MAX."""

    notices: int
    newest: datetime | None


_GIVEN = Statement(f"""
SELECT count(*) AS notices, max(ended_at) AS newest
  FROM (SELECT ended_at FROM notices WHERE status = 'parked' ORDER BY id LIMIT {COUNTED_MAX}) AS n
""").returning(Given)


@dataclass(frozen=True, slots=True)
class ParkedPage:
    """What is parked: the groups, a page of rows of one group or of all, and a page of notices."""

    groups: list[Group]
    reason: str | None
    rows: list[Row]
    after: str | None
    given: Given
    notices: list[Notice]
    notices_after: UUID | None

    @property
    def group(self) -> Group | None:
        """The group that is looked at."""
        return next((group for group in self.groups if group.reason == self.reason), None)


async def parked(engine: AsyncEngine, *, reason: str | None, after: str, notices_after: UUID | None) -> ParkedPage:
    """The groups, and the pages behind these cursors, the longest parked first."""
    place, row_id = cursors.read(after)
    listed = {"reason": reason, "place": place, "id": row_id, "limit": PAGE + 1}
    async with connect(engine) as connection:
        groups = await connection.rows(_GROUPS)
        rows = await connection.rows(_LIST, listed)
        given = await connection.one(_GIVEN)
        notices = await connection.rows(_NOTICES, {"id": notices_after or UUID(int=0), "limit": PAGE + 1})
    return ParkedPage(
        [_group(group) for group in groups],
        reason,
        rows[:PAGE],
        cursors.write(rows[PAGE - 1].parked_at, rows[PAGE - 1].id) if len(rows) > PAGE else None,
        given,
        notices[:PAGE],
        notices[PAGE - 1].id if len(notices) > PAGE else None,
    )


def _group(counted: _Counted) -> Group:
    means, step = _BY_HAND if counted.reason == PERSON else HELP[Parked(counted.reason)]
    return Group(counted.reason, means, step, counted.rows, counted.oldest, counted.newest)


class _Id(Record):
    id: UUID


_IDS = Statement(f"""
SELECT id FROM {ROWS}
 WHERE parked_at IS NOT NULL AND parked_at <= :until AND {_REASON} = CAST(:reason AS text)
 ORDER BY parked_at, id LIMIT {AT_ONCE_MAX}
""").returning(_Id)


async def ids_of_group(engine: AsyncEngine, reason: str, until: datetime) -> Sequence[UUID]:
    """The rows of a group that were parked until then, the longest parked first, at most AT_ONCE_MAX."""
    async with connect(engine) as connection:
        return [row.id for row in await connection.rows(_IDS, {"reason": reason, "until": until})]


_NOTICE_IDS = Statement(f"""
SELECT id FROM notices WHERE status = 'parked' AND ended_at <= :until ORDER BY id LIMIT {AT_ONCE_MAX}
""").returning(_Id)


async def ids_of_notices(engine: AsyncEngine, until: datetime) -> Sequence[UUID]:
    """The notices that were parked until then, the oldest first, at most AT_ONCE_MAX."""
    async with connect(engine) as connection:
        return [row.id for row in await connection.rows(_NOTICE_IDS, {"until": until})]
