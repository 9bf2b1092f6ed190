"""Looking again: a list by `created` shows each dispute as it is now, but a sweep reads it once; old ones move on.

A round goes through a span of Stripe's time piece by piece, as fast as the clock does, so that its calls are spread:

open    from the oldest undecided dispute to now, within an hour. A piece without an undecided one costs no call.
recent  the last two days, within an hour: what was not stored because its payment was not known here yet.
all     the last half year, within a day: decisions that are taken back, and payments that became known later still.

How far a round has come is stored. After an outage it goes on where it was.
"""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from service.disputes.seen import Seen
from service.disputes.sweep import DisputeSweep, Gateway, WarningSweep
from service.effects import Sweep, in_order, prove_complete
from service.effects.listing import Listed
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import Settings
from service.states import DISPUTE_DECIDED, in_sql
from service.stripe_gateway.objects import IncompleteListing

_PIECES = 24  # of a round: each costs at least three calls
_TOGETHER = 100  # objects settled by one transaction

T = TypeVar("T", bound=Listed)


class _Span(Record):
    """What a round goes through, and where it stands; `since` is null where there is nothing to look at."""

    since: datetime | None
    now: datetime
    stands_at: datetime | None
    looked_at: datetime | None


class _Piece(Record):
    """What of a piece is worth a call: the first and the last moment; null where nothing is."""

    first: datetime | None
    last: datetime | None


_SPAN = """
SELECT ({}) AS since, now() AS now, s.swept_until AS stands_at, s.swept_at AS looked_at
  FROM (SELECT) AS one LEFT JOIN sweeps s ON s.kind = :kind
"""

_UNDECIDED = f"FROM disputes WHERE status NOT IN {in_sql(DISPUTE_DECIDED)}"
_OPEN = Statement(_SPAN.format(f"SELECT min(stripe_created) {_UNDECIDED}")).returning(_Span)
_OPEN_PIECE = Statement(f"""
SELECT min(stripe_created) AS first, max(stripe_created) AS last {_UNDECIDED}
   AND stripe_created >= CAST(:since AS timestamptz) AND stripe_created < CAST(:until AS timestamptz)
""").returning(_Piece)

# Nothing of ours is older than this installation.
_SINCE = "SELECT greatest(created_at - interval '1 day', now() - interval '{}') FROM instance WHERE id = 1"
_RECENT = Statement(_SPAN.format(_SINCE.format("2 days"))).returning(_Span)
_ALL = Statement(_SPAN.format(_SINCE.format("183 days"))).returning(_Span)
_WHOLE_PIECE = Statement("""
SELECT CAST(:since AS timestamptz) AS first, CAST(:until AS timestamptz) AS last
""").returning(_Piece)

_ADVANCE = Statement("""
INSERT INTO sweeps (kind, swept_until, swept_at) VALUES (:kind, :until, :now)
ON CONFLICT (kind) DO UPDATE SET swept_until = excluded.swept_until, swept_at = excluded.swept_at
""")


@dataclass(frozen=True, slots=True)
class Round(Generic[T]):
    """One way through a list, again and again; each takes as long as it `lasts`."""

    kind: str
    sweep: Sweep[Seen[T], Gateway]
    lasts: timedelta
    span: Statement[_Span]
    piece: Statement[_Piece]

    async def go_on(self, engine: AsyncEngine, gateway: Gateway, settings: Settings) -> None:
        """Look at the next piece, if it is time for it. Raises IncompleteListing: then it is looked at again."""
        async with connect(engine) as connection:
            span = await connection.one(self.span, {"kind": self.kind})
            if span.since is None or not self._is_due(span):
                return
            since, until = self._next(span, span.since)
            piece = await connection.one(self.piece, {"since": since, "until": until})
        if piece.first is not None and piece.last is not None:
            await self._look(engine, gateway, settings, piece.first, piece.last)
        # The round is over: the next one begins at the beginning, wherever that is by then.
        stands_at = until if until < span.now else span.since
        async with connect(engine) as connection:
            await connection.run(_ADVANCE, {"kind": self.kind, "until": stands_at, "now": span.now})

    def _is_due(self, span: _Span) -> bool:
        return span.looked_at is None or span.now - span.looked_at >= self.lasts / _PIECES

    def _next(self, span: _Span, since: datetime) -> tuple[datetime, datetime]:
        """The piece that is due by now, of a span whose whole takes as long as a round lasts."""
        waited = self.lasts / _PIECES if span.looked_at is None else span.now - span.looked_at
        begin = since if span.stands_at is None else max(since, span.stands_at)
        until = begin + (span.now - since) * min(1.0, waited / self.lasts)
        return begin, min(until, span.now)

    async def _look(
        self, engine: AsyncEngine, gateway: Gateway, settings: Settings, first: datetime, last: datetime
    ) -> None:
        gte, lt = math.floor(first.timestamp()), math.floor(last.timestamp()) + 1
        missing = await self.sweep.known(engine, gte, lt)
        async for page in _pages(in_order(partial(self.sweep.ask, gateway), gte, lt)):
            missing.difference_update(one.id for one in page)
            await self.sweep.settle(engine, page, settings)
        await prove_complete(missing, partial(self.sweep.retrieve, gateway))


async def _pages(shown: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """What a listing shows, also where it breaks off: what it showed is true. Raises IncompleteListing."""
    page: list[T] = []
    try:
        async for one in shown:
            page.append(one)
            if len(page) == _TOGETHER:
                yield page
                page = []
    except IncompleteListing:
        if page:
            yield page
        raise
    if page:
        yield page


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
ROUNDS: tuple[Round[Any], ...] = (
    Round("disputes.open", DisputeSweep(), _HOUR, _OPEN, _OPEN_PIECE),
    Round("disputes.recent", DisputeSweep(), _HOUR, _RECENT, _WHOLE_PIECE),
    Round("disputes.all", DisputeSweep(), _DAY, _ALL, _WHOLE_PIECE),
    Round("fraud_warnings.all", WarningSweep(), _DAY, _ALL, _WHOLE_PIECE),
)


async def look_again(engine: AsyncEngine, gateway: Gateway, settings: Settings) -> None:
    """Go on with every round by what is due of it; one that could not be read holds no other up."""
    for one in ROUNDS:
        try:
            await one.go_on(engine, gateway, settings)
        except IncompleteListing as error:
            log.event(Event.SWEEP_INCOMPLETE, kind=one.kind, reason=str(error))
