"""Events about a PaymentIntent, or a charge of one: its success is settled at once, by the proof that a list shows.

Any other news (declined after 3-D Secure, money held, a bank that goes on) is for the worker: its look is made due.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, outbox
from service.foundation.postgres.sql import Record, Statement, connect
from service.inbox.following import IN_HAND, SETTLED, UNKNOWN, Dirty, Verdict, nothing
from service.recovery import instance_of
from service.states import AGREED, CHARGE_MONEY_MOVED
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import Intent


class _Held(Record):
    """A charge that bears the id of a PaymentIntent."""

    intent: str
    order_id: str
    status: str
    leased: bool
    created: int | None


_HELD = Statement("""
SELECT i.intent, c.order_id::text AS order_id, c.status, coalesce(c.lease_until > now(), false) AS leased,
       CAST(extract(epoch FROM c.stripe_created) AS bigint) AS created
  FROM unnest(CAST(:intents AS text[])) AS i (intent)
  JOIN accounts a ON true JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = i.intent
""").returning(_Held)


class _InHand(Record):
    order_id: str


# The answer that will bring the id of its PaymentIntent is under way.
_IN_HAND = Statement("""
SELECT order_id::text AS order_id FROM charges
 WHERE order_id = ANY(CAST(:orders AS uuid[])) AND payment_intent_id IS NULL AND lease_until > now()
""").returning(_InHand)


async def before(engine: AsyncEngine, dirty: Sequence[Dirty]) -> dict[str, Verdict]:
    """What can be said of these without asking Stripe. Fills in when each was created, where that is known here."""
    held = await _held(engine, [one.id for one in dirty])
    sending = await _sending(engine, [one.order for one in dirty if one.id not in held and one.order is not None])
    verdicts: dict[str, Verdict] = {}
    for one in dirty:
        charge = held.get(one.id)
        if charge is None:
            if one.order in sending:
                verdicts[one.id] = IN_HAND
            continue
        one.created = one.created or charge.created
        # Of money that was taken no event of its PaymentIntent has news: refunds and disputes have events of their own.
        if charge.status in CHARGE_MONEY_MOVED or one.says_nothing_new(AGREED[charge.status]):
            verdicts[one.id] = SETTLED
        elif charge.leased:
            verdicts[one.id] = IN_HAND
    return verdicts


async def after(engine: AsyncEngine, shown: Mapping[str, Intent]) -> dict[str, Verdict]:
    """What became of these once they were settled by what Stripe shows."""
    held = await _held(engine, list(shown))
    instance = await instance_of(engine)
    verdicts, late = {}, []
    for intent in shown.values():
        charge, marks = held.get(intent.id), read_marks(intent.metadata)
        if charge is None:
            ours = marks is not None and marks.instance in (None, instance)
            verdicts[intent.id] = UNKNOWN if ours else nothing("no payment of this installation")
        elif charge.status in CHARGE_MONEY_MOVED or intent.status in AGREED[charge.status]:
            verdicts[intent.id] = SETTLED
        elif charge.leased:
            verdicts[intent.id] = IN_HAND
        else:
            late.append(charge.order_id)
            verdicts[intent.id] = nothing(f"at Stripe it is {intent.status}; the order's own look is due")
    await outbox.hasten(engine, late, "charge")
    return verdicts


async def _held(engine: AsyncEngine, intents: Sequence[str]) -> dict[str, _Held]:
    async with connect(engine) as connection:
        return {row.intent: row for row in await connection.rows(_HELD, {"intents": intents})}


async def _sending(engine: AsyncEngine, orders: Sequence[str]) -> set[str]:
    if not orders:
        return set()
    async with connect(engine) as connection:
        return {row.order_id for row in await connection.rows(_IN_HAND, {"orders": orders})}


class _Booked(Record):
    charge: str


_BOOKED = Statement("""
SELECT i.charge
  FROM unnest(CAST(:charges AS text[]), CAST(:successes AS text[]), CAST(:seconds AS text[])) AS i (charge, one, other)
 WHERE EXISTS (
   SELECT FROM accounts a JOIN journal_entries e ON e.account_id = a.id WHERE e.reference IN (i.one, i.other))
""").returning(_Booked)


async def booked(engine: AsyncEngine, charges: Sequence[str]) -> set[str]:
    """Those of these charges (`ch_…`) that are on the books."""
    named = {
        "charges": charges,
        "successes": [ledger.charge_reference(charge) for charge in charges],
        "seconds": [ledger.duplicate_reference(charge) for charge in charges],
    }
    async with connect(engine) as connection:
        return {row.charge for row in await connection.rows(_BOOKED, named)}
