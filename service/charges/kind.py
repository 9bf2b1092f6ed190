"""A charge as a kind of effect: one attempt of one order, inserted when it is opened, under the unique index."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from service.charges import answers, settling
from service.charges.inserting import insert
from service.charges.model import OpenCharge
from service.charges.request import key_of, marks_of, request_of
from service.effects import leasing, reopening
from service.effects.kind import Kind, Stripe
from service.effects.model import Outcome, Settlement
from service.effects.reading import KnownEffect, columns
from service.effects.request import LockedRow, Request
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.settings import Settings
from service.states import CHARGE_FINAL, ORDER_MOVES_BY_ITSELF, ORDER_WANTS_MONEY
from service.stripe_gateway.objects import Answer


class _Known(KnownEffect):
    order_id: UUID
    attempt: int
    payment_intent_id: str | None


_READ = Statement(f"""
SELECT {columns(born_at="o.created_at", nth="CAST(1 AS smallint)")}, c.order_id, c.attempt, c.payment_intent_id
  FROM charges c JOIN orders o ON o.id = c.order_id WHERE c.order_id = ANY(CAST(:order_ids AS uuid[]))
""").returning(_Known)


class ChargeKind(Kind[OpenCharge]):
    """The calls that take an order's money."""

    final = CHARGE_FINAL
    take_over = Statement(reopening.take_over_sql("charges", None))
    renew = Statement(leasing.renew_sql("charges"))
    drop = Statement(reopening.drop_sql("charges"))

    async def known(self, tx: Connection, rows: Sequence[LockedRow]) -> Mapping[UUID, KnownEffect]:
        """Charges read by a statement of its own, after the locks: the locking statement sees them as they were before.

        A pending order has none.
        """
        order_ids = [r.order_id for r in rows if r.status != "pending"]
        if not order_ids:
            return {}
        found = {(c.order_id, c.attempt): c for c in await tx.rows(_READ, {"order_ids": order_ids})}
        return {r.outbox_id: c for r in rows if (c := found.get((r.order_id, r.attempt))) is not None}

    def new(self, row: LockedRow, settings: Settings) -> OpenCharge | None:
        """A first open; None where the order was canceled before it, or settled by another attempt.

        An order older than a key may live was perhaps charged in a life that we forgot: look first (R17).
        """
        if row.status not in ORDER_MOVES_BY_ITSELF:
            return None
        too_old = (row.now - row.created_at).total_seconds() >= settings.key_age_max_s
        request = request_of(row)
        return _open_charge(
            row,
            **reopening.held(row),
            id=uuid7(),
            born_at=row.created_at,
            idempotency_key=key_of(row),
            request=request.params,
            stripe_version=request.version,
            status="new",
            call="lookup" if too_old else "send",
            first_send=not too_old,
            first_sent_at=reopening.first_sent(row, row.created_at, None, settings),
        )

    async def insert(
        self, tx: Connection, effects: list[OpenCharge], settings: Settings, *, alone: bool
    ) -> tuple[list[OpenCharge], list[tuple[UUID, str]]]:
        """Store them under the unique index, and move their orders to processing."""
        return await insert(tx, effects, settings, alone=alone)

    def effect(self, row: LockedRow, known: KnownEffect, **of_effect: Any) -> OpenCharge:
        """A re-delivery, or the takeover of a charge whose worker fell silent."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return _open_charge(row, payment_intent_id=known.payment_intent_id, **of_effect)

    def request(self, row: LockedRow, known: KnownEffect) -> Request:  # noqa: ARG002  an order says all
        """Create and confirm a PaymentIntent."""
        return request_of(row)

    def key(self, row: LockedRow, known: KnownEffect) -> str:  # noqa: ARG002  an order says all
        """The producer's own for the first attempt of the default account."""
        return key_of(row)

    def is_wanted(self, row: LockedRow) -> bool:
        """Not where another attempt has paid meanwhile."""
        return row.status in ORDER_WANTS_MONEY

    async def send(self, stripe: Stripe, effect: OpenCharge) -> Answer:
        """Create and confirm a PaymentIntent."""
        return await stripe.create_payment_intent(
            effect.request, key=effect.idempotency_key, version=effect.stripe_version
        )

    async def retrieve(self, stripe: Stripe, effect: OpenCharge) -> tuple[Answer, Outcome]:
        """Ask for its PaymentIntent."""
        answer = await stripe.get_payment_intent(effect.payment_intent_id or "")
        return answer, answers.judge_retrieve(effect, answer)

    def spoken(self, effect: OpenCharge, answer: Answer) -> Outcome | None:
        """A PaymentIntent, or a decline."""
        return answers.spoken(effect, answer)

    def refused(self, effect: OpenCharge, answer: Answer) -> Outcome | None:  # noqa: ARG002  the answer says all
        """A definitive decline, where it speaks of this order's own data."""
        return answers.refused(answer)

    async def record(
        self, tx: Connection, settlements: Sequence[Settlement[OpenCharge]], settings: Settings
    ) -> set[UUID]:
        """Charge, order, journal and outbox."""
        return await settling.record(tx, settlements, settings)


def _open_charge(row: LockedRow, **of_charge: Any) -> OpenCharge:
    """A charge, of a locked row and what is said of it besides."""
    return OpenCharge(
        attempt=row.attempt,
        amount=row.amount_minor,
        currency=row.currency,
        capture=row.capture,
        customer=row.customer,
        marks=marks_of(row),
        **of_charge,
    )


CHARGE = ChargeKind()
