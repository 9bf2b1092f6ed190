"""A refund as a kind of effect: a row that was asked for, or that was made at Stripe past us and adopted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from service.effects import leasing, reopening
from service.effects.kind import Kind, Stripe
from service.effects.model import Outcome, Settlement
from service.effects.reading import KnownEffect, columns
from service.effects.request import STRIPE_VERSION, LockedRow, Request
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.settings import Settings
from service.orders.identity import refund_wire_key
from service.refunds import answers, settling
from service.refunds.effect import OpenRefund
from service.states import REFUND_FINAL
from service.stripe_gateway import paths
from service.stripe_gateway.marks import RefundMarks
from service.stripe_gateway.objects import Answer

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

_EXPAND = ["balance_transaction", "failure_balance_transaction"]


class _Known(KnownEffect):
    amount_minor: int
    currency: str
    reason: str | None
    metadata: str
    producer_key: str | None
    stripe_refund_id: str | None
    payment_intent_id: str


_READ = Statement(f"""
SELECT {columns(born_at="c.created_at")}, c.amount_minor, c.currency, c.reason, c.metadata::text AS metadata,
       c.producer_key, c.stripe_refund_id, p.payment_intent_id
  FROM refunds c JOIN charges p ON p.id = c.charge_id WHERE c.id = ANY(CAST(:ids AS uuid[]))
""").returning(_Known)


class RefundKind(Kind[OpenRefund]):
    """Money that goes back."""

    final = REFUND_FINAL
    take_over = Statement(reopening.take_over_sql("refunds", "processing"))
    renew = Statement(leasing.renew_sql("refunds"))

    async def known(self, tx: Connection, rows: Sequence[LockedRow]) -> Mapping[UUID, KnownEffect]:
        """By the ids that the outbox rows name."""
        found = {c.id: c for c in await tx.rows(_READ, {"ids": [r.effect for r in rows if r.effect]})}
        return {r.outbox_id: found[r.effect] for r in rows if r.effect in found}

    def effect(self, row: LockedRow, known: KnownEffect, **of_effect: Any) -> OpenRefund:
        """The refund."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return OpenRefund(
            amount=known.amount_minor,
            currency=known.currency,
            payment_intent_id=known.payment_intent_id,
            marks=_marks(row, known),
            stripe_refund_id=known.stripe_refund_id,
            **of_effect,
        )

    def request(self, row: LockedRow, known: KnownEffect) -> Request:
        """So much of the payment is to go back."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        params: RefundCreateParams = {"payment_intent": known.payment_intent_id, "amount": known.amount_minor}
        if known.reason in ("duplicate", "fraudulent", "requested_by_customer"):
            params["reason"] = known.reason
        params["metadata"] = _marks(row, known).metadata(msgspec.json.decode(known.metadata))
        params["expand"] = _EXPAND
        return Request(params, STRIPE_VERSION)

    def key(self, row: LockedRow, known: KnownEffect) -> str:
        """One of its own for each try; never made of charge and amount, for two equal refunds are two (R37)."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return refund_wire_key(
            account_id=row.account_id,
            order_key=row.idempotency_key,
            refund_key=known.producer_key or str(known.id),
            nth=known.nth,
        )

    async def send(self, stripe: Stripe, effect: OpenRefund) -> Answer:
        """Post the stored request."""
        return await stripe.post(
            paths.REFUNDS, effect.request, key=effect.idempotency_key, version=effect.stripe_version
        )

    async def retrieve(self, stripe: Stripe, effect: OpenRefund) -> tuple[Answer, Outcome]:
        """Ask for the refund."""
        answer = await stripe.get_refund(effect.stripe_refund_id or "")
        return answer, answers.judge_retrieve(effect, answer)

    def spoken(self, effect: OpenRefund, answer: Answer) -> Outcome | None:
        """The refund as Stripe has made it."""
        return answers.spoken(effect, answer)

    def refused(self, effect: OpenRefund, answer: Answer) -> Outcome | None:
        """About the amount, the payment, or Stripe's balance."""
        return answers.refused(effect, answer)

    async def record(
        self, tx: Connection, settlements: Sequence[Settlement[OpenRefund]], settings: Settings
    ) -> set[UUID]:
        """The refund, its order's sums, and the bookings of what moved."""
        return await settling.record(tx, settlements, settings)


def _marks(row: LockedRow, known: _Known) -> RefundMarks:
    return RefundMarks(
        account_id=row.account_id,
        order_id=row.order_id,
        refund_id=known.id,
        key=known.producer_key,
        instance=row.instance,
    )


REFUND = RefundKind()
