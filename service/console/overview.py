"""The numbers of the front page. Each is counted by an index and up to a bound, so a look always costs the same."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect
from service.states import ORDER_STATUSES

COUNTED_MAX = 10_000  # orders of one state and account
_ACCOUNTS_MAX = 200
CALLS = 100  # newest charges, of which Stripe's answers are shown


class _State(Record):
    status: str
    count: int
    is_more: bool


_STATES = Statement(f"""
SELECT s.status, sum(n.count)::bigint AS count, bool_or(n.count > :most) AS is_more
  FROM unnest(CAST(:statuses AS text[])) WITH ORDINALITY AS s (status, place)
  CROSS JOIN (SELECT id FROM accounts ORDER BY id LIMIT {_ACCOUNTS_MAX}) AS a
  CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (
      SELECT FROM orders o WHERE o.account_id = a.id AND o.status = s.status LIMIT :most + 1) AS counted
  ) AS n
 GROUP BY s.status, s.place ORDER BY s.place
""").returning(_State)


@dataclass(frozen=True, slots=True)
class State:
    """How many orders are in a state; `is_more`: at least so many."""

    word: str
    count: int
    is_more: bool


async def states(engine: AsyncEngine) -> list[State]:
    """Orders by state."""
    async with connect(engine) as connection:
        rows = await connection.rows(_STATES, {"statuses": list(ORDER_STATUSES), "most": COUNTED_MAX})
    return [State(row.status, row.count, row.is_more) for row in rows]


class Absorbed(Record):
    """How many duplicates a guard absorbed."""

    guard: str
    count: int


_ABSORBED = Statement("""
SELECT label AS guard, value AS count FROM tallies WHERE name = 'duplicates_absorbed' ORDER BY value DESC, label
""").returning(Absorbed)


async def absorbed(engine: AsyncEngine) -> list[Absorbed]:
    """Duplicates by the guard that absorbed them, the most first."""
    async with connect(engine) as connection:
        return await connection.rows(_ABSORBED)


class _History(Record):
    history: str


_CALLS = Statement("SELECT history::text AS history FROM charges ORDER BY id DESC LIMIT :most").returning(_History)


@dataclass(frozen=True, slots=True)
class Calls:
    """Stripe's answers to the newest charges.

    A time is from the commit before a send to the commit behind its answer. words: how often each answer came.
    """

    times_ms: tuple[float, ...]
    words: Mapping[str, int]

    @property
    def median_ms(self) -> float:
        """The middle one."""
        return median(self.times_ms) if self.times_ms else 0.0

    @property
    def slow_ms(self) -> float:
        """What 19 of 20 answers stay below."""
        return quantiles(self.times_ms, n=20)[-1] if len(self.times_ms) > 1 else self.median_ms

    @property
    def told(self) -> Mapping[str, int]:
        """`words` for a reader who does not know what a history writes: what is no status was no answer."""
        return {_told(word): count for word, count in self.words.items()}


def _told(word: str) -> str:
    if word == "200 object":
        return "seen in a list"
    return word.replace("_", " ") if word[:1].isdigit() else f"no answer ({word})"


async def calls(engine: AsyncEngine) -> Calls:
    """Stripe's answers to the newest charges."""
    async with connect(engine) as connection:
        rows = await connection.rows(_CALLS, {"most": CALLS})
    return of_histories([json.loads(row.history) for row in reversed(rows)])


def of_histories(histories: Sequence[Sequence[Mapping[str, str]]]) -> Calls:
    """What these histories of calls and answers tell, the oldest first. Pure."""
    times: list[float] = []
    words: Counter[str] = Counter()
    for history in histories:
        sent: datetime | None = None
        for entry in history:
            if "answer" in entry:
                words[entry["answer"]] += 1
                if sent is not None:
                    times.append((datetime.fromisoformat(entry["at"]) - sent).total_seconds() * 1_000)
                sent = None
            elif entry.get("call") == "send":
                sent = datetime.fromisoformat(entry["at"])
    return Calls(tuple(times), dict(words.most_common()))
