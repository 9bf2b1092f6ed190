"""One PaymentIntent is judged under its order's lock, and what this database forgot of it is written back (R31).

An adopted charge is written as one that was sent and whose answer was lost; settling it is then the ordinary way.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.charges import OpenCharge
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, begin
from service.foundation.settings import Settings
from service.recovery import charge_rows, order_rows
from service.recovery.adoption import Known, Step, Verdict, judge
from service.recovery.blocking import block
from service.recovery.knowing import Listed, known_of


async def bring_back(
    engine: AsyncEngine, listed: Listed, life: int, settings: Settings
) -> tuple[Verdict, OpenCharge | None]:
    """Judge one PaymentIntent under its order's lock, and write what it takes.

    Returns the verdict and, where Stripe's object can settle it, the charge to settle.
    """
    return await repeat_on_deadlock(lambda: _bring_back(engine, listed, life, settings))


async def _bring_back(
    engine: AsyncEngine, listed: Listed, life: int, settings: Settings
) -> tuple[Verdict, OpenCharge | None]:
    async with begin(engine) as tx:
        known = await _known_and_locked(tx, listed)
        verdict = judge(listed.intent, listed.marks, known)
        is_forgotten = verdict.step is Step.ADOPT and known.order_id is None
        if is_forgotten and not await order_rows.insert_order(tx, listed):
            # Its producer has repeated it this very moment.
            known = await _known_and_locked(tx, listed)
            verdict = judge(listed.intent, listed.marks, known)
            if known.order_id is None:
                return Verdict(Step.REPORT, "its order is another account's here"), None
        if verdict.step is Step.BLOCK and known.order_id is not None:
            await block(tx, listed, known.order_id, life)
        if verdict.step not in (Step.ADOPT, Step.SETTLE):
            return verdict, None
        return verdict, await _as_sent(tx, listed, known, known.order_id or listed.marks.order_id, life, settings)


async def _known_and_locked(tx: Connection, listed: Listed) -> Known:
    (known,) = await known_of(tx, [listed])
    if known.order_id is not None:
        await orders.lock(tx, [known.order_id])
        (known,) = await known_of(tx, [listed])
    return known


async def _as_sent(
    tx: Connection, listed: Listed, known: Known, order_id: UUID, life: int, settings: Settings
) -> OpenCharge:
    """The charge as if this database had sent it and never heard: with its PaymentIntent, a token, and a promise."""
    if known.order_id is not None and not known.by_id and known.holder_status is None:
        await order_rows.insert_alias(tx, listed.marks.account_id, listed.marks.order_id, order_id)
    await order_rows.to_processing(tx, order_id, listed)
    if known.charge_id is None and known.holder_status is None:
        await charge_rows.insert_charge(tx, listed, order_id, life, call="retrieve")
    return await charge_rows.attach(tx, listed, order_id, settings)
