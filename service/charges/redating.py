"""Bookings of before 0006 that may bear another moment than their charge's: Stripe is asked, and the journal corrected.

Migration 0006 lists them in `undated_charges`; this drains the list, and then has nothing to do for ever.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.effects.settling import is_about_content
from service.foundation import log
from service.foundation.events import Event
from service.foundation.log import of_error
from service.foundation.postgres.db import Refused, repeat_on_deadlock
from service.foundation.postgres.sql import Record, Statement, begin, connect
from service.stripe_gateway.objects import IncompleteListing, Intent

AT_ONCE = 20  # charges per round, a call each
_AGAIN = timedelta(minutes=5)  # where Stripe could not be asked
_REFUSED = timedelta(hours=6)  # where the books refused the correction: nobody behind it waits for a human


class Retriever(Protocol):
    """What is needed of the Stripe gateway."""

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        """The PaymentIntent, charge expanded; None where Stripe has none. Raises IncompleteListing."""
        ...


class _Undated(Record):
    """A charge that may be booked under another moment than its own."""

    charge_id: UUID
    account_id: UUID
    payment_intent_id: str
    stripe_charge_id: str
    status: str


_UNDATED = Statement("""
SELECT u.charge_id, c.account_id, c.payment_intent_id, c.stripe_charge_id, c.status
  FROM undated_charges u JOIN charges c ON c.id = u.charge_id
 WHERE u.look_at <= now() ORDER BY u.look_at LIMIT :rows
""").returning(_Undated)


async def redate_once(engine: AsyncEngine, gateway: Retriever) -> int:
    """Correct some bookings; returns how many were looked at."""
    async with connect(engine) as connection:
        undated = await connection.rows(_UNDATED, {"rows": AT_ONCE})
    for row in undated:
        try:
            intent = await gateway.retrieve_payment_intent(row.payment_intent_id)
        except IncompleteListing as error:
            log.event(Event.LEDGER_MOMENT_UNKNOWN_YET, reason=str(error))
            await _put_off(engine, row, _AGAIN)
            continue
        try:
            await _correct(engine, row, _moment(row, intent))
        except (Refused, ValueError) as error:
            if not is_about_content(error):
                raise
            log.event(Event.LEDGER_NOT_REDATED, charge=str(row.charge_id), **of_error(error))
            await _put_off(engine, row, _REFUSED)
    return len(undated)


def _moment(row: _Undated, intent: Intent | None) -> datetime | None:
    """The moment of the very charge that was booked, if Stripe still shows it."""
    if intent is None or intent.charge_id != row.stripe_charge_id or intent.charged_at is None:
        return None
    return datetime.fromtimestamp(intent.charged_at, UTC)


_DATE = Statement("UPDATE charges SET charged_at = :moment WHERE id = :id")

_DONE = Statement("DELETE FROM undated_charges WHERE charge_id = :id")


async def _correct(engine: AsyncEngine, row: _Undated, moment: datetime | None) -> None:
    async def once() -> int:
        async with begin(engine) as tx:
            booked = 0
            if moment is not None:
                await tx.run(_DATE, {"id": row.charge_id, "moment": moment})
                make = ledger.duplicate_reference if row.status == "duplicate" else ledger.charge_reference
                reference = make(row.stripe_charge_id)
                booked = len((await ledger.redate(tx, row.account_id, reference, moment)).booked)
            await tx.run(_DONE, {"id": row.charge_id})
            return booked

    if await repeat_on_deadlock(once):
        log.event(Event.LEDGER_REDATED, charge=str(row.charge_id))
    if moment is None:
        log.event(Event.LEDGER_MOMENT_UNKNOWN, charge=str(row.charge_id))


_PUT_OFF = Statement("""
UPDATE undated_charges SET look_at = now() + CAST(:after AS interval) WHERE charge_id = :id
""")


async def _put_off(engine: AsyncEngine, row: _Undated, after: timedelta) -> None:
    async with connect(engine) as connection:
        await connection.run(_PUT_OFF, {"id": row.charge_id, "after": after})
