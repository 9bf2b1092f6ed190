"""What is on the books and in the table of a test's own database."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.web.afterwards import rows


async def stored(engine: AsyncEngine, payout_id: str = "po_1") -> dict[str, Any]:
    """The row of a payout."""
    (row,) = await rows(engine, "SELECT * FROM payouts WHERE id = :id", id=payout_id)
    return row


async def journal(engine: AsyncEngine) -> list[str]:
    """The references of what is booked, in their order."""
    return [row["reference"] for row in await rows(engine, "SELECT reference FROM journal_entries ORDER BY reference")]


async def balances(engine: AsyncEngine) -> dict[str, int]:
    """What each account holds, minor units; what is even is left out."""
    found = await rows(
        engine,
        """SELECT l.code, CAST(sum(p.amount_minor) AS bigint) AS minor
             FROM postings p JOIN ledger_accounts l ON l.id = p.ledger_account_id
            GROUP BY l.code HAVING sum(p.amount_minor) <> 0""",
    )
    return {row["code"]: row["minor"] for row in found}


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Name and fields of each line of the log."""
    return [(record.getMessage(), record.__dict__["fields"]) for record in caplog.records if record.name == "eo"]
