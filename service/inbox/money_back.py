"""Events about a refund: read by lists, and settled as the sweep settles them."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.foundation.postgres.sql import Record, Statement, connect
from service.inbox.following import IN_HAND, SETTLED, UNKNOWN, Dirty, Verdict, nothing
from service.states import REFUND_AGREED, REFUND_FINAL, REFUND_WAITS_AT_STRIPE
from service.stripe_gateway.marks import read_refund_marks
from service.stripe_gateway.objects import Refund


class _Held(Record):
    """A refund of ours that bears an id of Stripe's."""

    refund: str
    order_id: str
    status: str
    leased: bool
    created: int | None


_HELD = Statement("""
SELECT i.refund, r.order_id::text AS order_id, r.status, coalesce(r.lease_until > now(), false) AS leased,
       CAST(extract(epoch FROM r.stripe_created) AS bigint) AS created
  FROM unnest(CAST(:refunds AS text[])) AS i (refund)
  JOIN accounts a ON true JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = i.refund
""").returning(_Held)


class _OfOurs(Record):
    intent: str


_OF_OURS = Statement("""
SELECT i.intent FROM unnest(CAST(:intents AS text[])) AS i (intent)
 WHERE EXISTS (SELECT FROM accounts a JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = i.intent)
""").returning(_OfOurs)


async def before(engine: AsyncEngine, dirty: Sequence[Dirty]) -> dict[str, Verdict]:
    """What can be said of these without asking Stripe. Fills in when each was created, where that is known here."""
    held = await _held(engine, [one.id for one in dirty])
    verdicts: dict[str, Verdict] = {}
    for one in dirty:
        if (refund := held.get(one.id)) is None:
            continue
        one.created = one.created or refund.created
        before_its_end = REFUND_WAITS_AT_STRIPE if refund.status in REFUND_FINAL else ()
        if one.says_nothing_new([*REFUND_AGREED[refund.status], *before_its_end]):
            verdicts[one.id] = SETTLED
        elif refund.leased:
            verdicts[one.id] = IN_HAND
    return verdicts


async def after(engine: AsyncEngine, shown: Mapping[str, Refund]) -> dict[str, Verdict]:
    """What became of these once they were settled by what Stripe shows."""
    held = await _held(engine, list(shown))
    ours = await _of_ours(engine, [r.payment_intent for r in shown.values() if r.payment_intent and r.id not in held])
    verdicts, late = {}, []
    for refund in shown.values():
        known = held.get(refund.id)
        if known is None:
            is_ours = refund.payment_intent in ours or read_refund_marks(refund.metadata) is not None
            verdicts[refund.id] = UNKNOWN if is_ours else nothing("of no payment of this installation")
        elif refund.status in REFUND_AGREED[known.status]:
            verdicts[refund.id] = SETTLED
        elif known.leased:
            verdicts[refund.id] = IN_HAND
        elif known.status in REFUND_FINAL:
            verdicts[refund.id] = nothing(f"it is {known.status} here and {refund.status} at Stripe")
        else:
            late.append(known.order_id)
            verdicts[refund.id] = nothing(f"at Stripe it is {refund.status}; the refund's own look is due")
    await outbox.hasten(engine, late, "refund")
    return verdicts


async def _held(engine: AsyncEngine, refunds: Sequence[str]) -> dict[str, _Held]:
    async with connect(engine) as connection:
        return {row.refund: row for row in await connection.rows(_HELD, {"refunds": refunds})}


async def _of_ours(engine: AsyncEngine, intents: Sequence[str]) -> set[str]:
    async with connect(engine) as connection:
        return {row.intent for row in await connection.rows(_OF_OURS, {"intents": intents})}
