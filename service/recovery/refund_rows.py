"""One refund is judged under its order's lock, and what this database does not know of it is written and settled.

All of it is one transaction, so that no crash leaves a refund that is half known.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service import orders
from service.effects import Rules, Settlement
from service.effects.patience import with_an_end
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, Record, Statement, begin
from service.foundation.settings import Settings
from service.outbox import rows
from service.recovery.adoption import Step, Verdict, placed_at
from service.recovery.refund_adoption import KnownRefund, ListedRefund, is_spent, judge_listed
from service.recovery.refund_knowing import known_of
from service.refunds import REFUND, OpenRefund, judge_refund, tell_of_refunds
from service.states import REFUND_FINAL, in_sql
from service.stripe_gateway.marks import RefundMarks, producers_own
from service.stripe_gateway.objects import Answer


async def bring_back(engine: AsyncEngine, listed: ListedRefund, life: int, settings: Settings) -> Verdict:
    """Judge one refund under its order's lock, write what it takes, and settle it by what Stripe shows."""

    async def run() -> Verdict:
        async with begin(engine) as tx:
            return await _bring_back(tx, listed, life, settings)

    return await repeat_on_deadlock(run)


async def _bring_back(tx: Connection, listed: ListedRefund, life: int, settings: Settings) -> Verdict:
    known = await _known_and_locked(tx, listed)
    verdict, row_id = judge_listed(listed, known), known.row_id
    if verdict.step is Step.ADOPT:
        if row_id is not None and is_spent(known):
            await _spend(tx, row_id, listed.shown.id)
        row_id = None if verdict.reason else await _insert(tx, listed, known, life, is_named=True)
        if row_id is None:
            verdict = Verdict(Step.ADOPT, verdict.reason or "its key or its id is another refund's here")
            row_id = await _insert(tx, listed, known, life, is_named=False)
    if row_id is not None and verdict.step in (Step.ADOPT, Step.SETTLE):
        await _settle(tx, listed, row_id, settings)
    return verdict


async def _known_and_locked(tx: Connection, listed: ListedRefund) -> KnownRefund:
    (known,) = await known_of(tx, [listed])
    if known.order_id is not None:
        await orders.lock(tx, [known.order_id])
        (known,) = await known_of(tx, [listed])
    return known


class _Row(Record):
    id: UUID


# As one that was sent when Stripe made it. The key on the wire is not known: it may have been a later try's. That of a
# duplicate is none of its order's sums.
_INSERT = Statement("""
WITH adopted AS (
  INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, amount_minor, currency, reason, metadata,
                       status, next_call, request, stripe_version, maybe_executed, first_sent_at, last_sent_at, life,
                       history, created_at)
  VALUES (CAST(:id AS uuid), :account, CAST(:order AS uuid), :charge, :key, CAST(:amount AS bigint), :currency, :reason,
          CAST(:metadata AS jsonb), 'processing', 'retrieve', '{}', '', true, :created, :created, :life,
          jsonb_build_array(jsonb_build_object('at', now(), 'adopted', true)), :placed)
  ON CONFLICT DO NOTHING RETURNING id, order_id, amount_minor
), counted AS (
  UPDATE orders o SET amount_refunding_minor = o.amount_refunding_minor + a.amount_minor, updated_at = now()
    FROM adopted a WHERE o.id = a.order_id AND NOT :of_duplicate
)
SELECT id FROM adopted
""").returning(_Row)


async def _insert(
    tx: Connection, listed: ListedRefund, known: KnownRefund, life: int, *, is_named: bool
) -> UUID | None:
    """Its row, under way; None where somebody else holds its key or its id. `is_named`: under those of its metadata."""
    shown, marks = listed.shown, listed.marks if is_named and _is_of(listed, known) else None
    refund_id = marks.refund_id if marks else uuid7()
    values = {
        "id": refund_id,
        "account": known.account_id,
        "order": known.order_id,
        "charge": known.charge_id,
        "key": listed.key if marks else None,
        "amount": shown.amount,
        "currency": shown.currency,
        "reason": shown.reason,
        "metadata": msgspec.json.encode(producers_own(shown.metadata or {})).decode(),
        "created": listed.created,
        "life": life,
        "of_duplicate": known.charge_status == "duplicate",
        "placed": placed_at(refund_id, listed.created) if marks else listed.created,
    }
    row = await tx.row(_INSERT, values)
    return None if row is None else row.id


def _is_of(listed: ListedRefund, known: KnownRefund) -> bool:
    """Whether its metadata is of the account whose payment it gives back; else somebody has edited it."""
    return listed.marks is not None and listed.marks.account_id == known.account_id


# What is proven not to have run ends, so that its producer may ask again under another key; what may have run is looked
# up, and whoever is about to settle it is fenced off.
_SPEND = Statement("""
WITH spent AS (
  UPDATE refunds SET status = CASE WHEN maybe_executed THEN status ELSE 'failed' END,
      failure = CASE WHEN maybe_executed THEN failure ELSE CAST(CAST(:failure AS text) AS jsonb) END,
      key_conflict = true, next_call = 'lookup', token = NULL, lease_until = NULL, updated_at = now(),
      history = history || jsonb_build_object('at', now(), 'alarm', 'Stripe has its key for another refund')
   WHERE id = :id
  RETURNING id, order_id, amount_minor, status
), counted AS (
  UPDATE orders o SET amount_refunding_minor = o.amount_refunding_minor - s.amount_minor, updated_at = now()
    FROM spent s WHERE o.id = s.order_id AND s.status = 'failed'
)
SELECT id FROM spent WHERE status = 'failed'
""").returning(_Row)

_WITHDRAW = Statement(
    rows.complete("refunds r", f"r.id = :refund AND x.order_id = r.order_id AND {rows.EFFECT} = r.id")
)


async def _spend(tx: Connection, refund_id: UUID, stripe_refund_id: str) -> None:
    """Stripe has the key of this refund of ours for another one, of a life that was forgotten (R32)."""
    message = f"Stripe has this key for {stripe_refund_id}, which this service had forgotten. Use a new key."
    failure = {"code": "key_conflict", "decline_code": None, "message": message}
    values = {"id": refund_id, "failure": msgspec.json.encode(failure).decode()}
    if await tx.row(_SPEND, values) is not None:
        await tx.run(_WITHDRAW, {"refund": refund_id})
        await tell_of_refunds(tx, [refund_id])


_TAKE = Statement(f"""
UPDATE refunds SET token = :token, maybe_executed = true, first_sent_at = coalesce(first_sent_at, :created),
    last_sent_at = greatest(last_sent_at, :created)
 WHERE id = :refund AND status NOT IN {in_sql(REFUND_FINAL)}
""")

_PROMISE = Statement(
    rows.promise(
        ":row",
        "r.account_id",
        "r.order_id",
        kind="'refund'",
        payload="jsonb_build_object('effect', r.id)",
        deliver_after="now() + CAST(:hidden AS interval)",
        source=f"""refunds r
 WHERE r.id = :refund AND r.status NOT IN {in_sql(REFUND_FINAL)}
   AND NOT EXISTS (SELECT FROM {rows.ROWS} WHERE x.order_id = r.order_id AND x.effect = r.id)""",
    )
)


class _Adopted(Record):
    """A refund as `OpenRefund` names what it says."""

    id: UUID
    outbox_id: UUID
    account_id: UUID
    order_id: UUID
    amount: int
    currency: str
    stripe_version: str
    status: str
    life: int
    born_at: datetime
    opened_at: datetime
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    deliveries: int
    unclear_answers: int
    nth: int
    key_conflict: bool


# A refund that has ended has no promise any more, and its settlement needs none.
_READ = Statement(f"""
SELECT r.id, coalesce(x.id, r.id) AS outbox_id, r.account_id, r.order_id, r.amount_minor AS amount, r.currency,
       r.stripe_version, r.status, r.life, r.created_at AS born_at, now() AS opened_at, r.first_sent_at, r.last_sent_at,
       coalesce(x.deliveries, 0) AS deliveries, r.unclear_in_a_row AS unclear_answers, r.nth, r.key_conflict
  FROM refunds r LEFT JOIN {rows.ROWS} ON x.order_id = r.order_id AND x.effect = r.id
 WHERE r.id = :refund
""").returning(_Adopted)


async def _settle(tx: Connection, listed: ListedRefund, refund_id: UUID, settings: Settings) -> None:
    """The ordinary way, in the caller's transaction: the refund, its order's sums, the bookings, the outbox row."""
    which, token = {"refund": refund_id}, uuid4()
    await tx.run(_TAKE, which | {"token": token, "created": listed.created})
    await tx.run(_PROMISE, which | {"row": uuid7(), "hidden": timedelta(seconds=settings.outbox_lease_s)})
    refund = _open_refund(await tx.one(_READ, which), token, listed)
    outcome = with_an_end(refund, judge_refund(refund, listed.shown), Rules.of(settings))
    await REFUND.record(tx, [Settlement(refund, outcome, _LISTED)], settings)


_LISTED = Answer(http_status=200, note="listed")


def _open_refund(adopted: _Adopted, token: UUID, listed: ListedRefund) -> OpenRefund:
    return OpenRefund(
        **dict(adopted.items()),
        idempotency_key="",
        request={},
        call="retrieve",
        first_send=False,
        token=token,
        payment_intent_id=listed.shown.payment_intent or "",
        marks=RefundMarks(account_id=adopted.account_id, order_id=adopted.order_id, refund_id=adopted.id),
        stripe_refund_id=listed.shown.id,
    )
