"""Verifying the ledger from a page: within two minutes, and only books that are read in seconds.

The audit keeps each result, so the last one is shown wherever it was asked for.
"""

import time
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.audit import Action, Who, note, noted
from service.console.acts import Say
from service.foundation.deadlines import LONG_STATEMENT_S
from service.foundation.errors import Conflict
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.sql import Record, Statement, begin, connect
from service.foundation.settings import Settings
from service.ledger import verify

DUTY = "verifying the ledger"
WITHIN_S = 120.0
POSTINGS_MAX = 2_000_000  # larger books are read for minutes, in one snapshot that holds up vacuum
_SUBJECT = "ledger"
_NAMED_MAX = 20  # findings that the audit names


class _Size(Record):
    postings: int


# An estimate of PostgreSQL's statistics; -1 where the table was never looked at.
_SIZE = Statement("""
SELECT greatest(reltuples, 0)::bigint AS postings FROM pg_class WHERE oid = to_regclass('postings')
""").returning(_Size)


async def postings_about(engine: AsyncEngine) -> int:
    """About how many postings the ledger has."""
    async with connect(engine) as connection:
        return (await connection.one(_SIZE)).postings


@dataclass(frozen=True, slots=True)
class Verified:
    """The last result: when, by whom, how many findings, and the first of them."""

    at: datetime
    actor: str
    findings: int
    named: list[str]


async def last_verified(engine: AsyncEngine) -> Verified | None:
    """The last result that a page asked for; None before the first."""
    for line in await noted(engine, subject=_SUBJECT, limit=1):
        after = msgspec.json.decode(line.after or "{}")
        return Verified(line.at, line.actor, after.get("findings", 0), (after.get("named") or "").splitlines())
    return None


async def verify_now(settings: Settings, who: Who, say: Say) -> str:
    """Recompute the books, and note the result. Raises Conflict for books that are too large for a page."""
    engine = create_engine(settings, name="console verify", pool=1, statement_s=LONG_STATEMENT_S)
    try:
        if (about := await postings_about(engine)) > POSTINGS_MAX:
            raise Conflict(f"The ledger has about {about:,} postings: run `eo ledger verify`, which may take minutes.")
        say("reads the books")
        began = time.monotonic()
        found = await verify(engine)
        named = "\n".join(f"{one.name}: {one.detail} ({', '.join(one.ids)})" for one in found[:_NAMED_MAX])
        after = {"findings": len(found), "named": named or None, "took_ms": int((time.monotonic() - began) * 1_000)}
        async with begin(engine) as tx:
            await note(tx, who, Action.LEDGER_VERIFY, _SUBJECT, after=after)
    finally:
        await close(engine)
    return f"{len(found)} findings" if found else "the books hold"
