"""Captures and cancellations as a kind of effect: rows that were asked for, about a payment that exists."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from service.changes import answers, settling
from service.changes.effect import OpenChange
from service.charges import OpenCharge
from service.charges.answers import BEFORE_ANOTHER_ATTEMPT
from service.charges.request import marks_of
from service.effects import leasing, reopening
from service.effects.kind import Kind, Stripe
from service.effects.model import Outcome, Settlement
from service.effects.reading import KnownEffect, columns
from service.effects.request import STRIPE_VERSION, LockedRow, Request
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.settings import Settings
from service.orders.identity import wire_key
from service.states import CHANGE_FINAL, ChangeKind
from service.stripe_gateway import paths
from service.stripe_gateway.objects import Answer

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCancelParams, PaymentIntentCaptureParams


class _Known(KnownEffect):
    kind: ChangeKind
    wanted_by: str
    amount_minor: int | None
    charge_id: UUID
    charge_status: str
    attempt: int
    payment_intent_id: str


_READ = Statement(f"""
SELECT {columns(born_at="c.created_at")}, c.kind, c.wanted_by, c.amount_minor, c.charge_id,
       p.status AS charge_status, p.attempt, p.payment_intent_id
  FROM changes c JOIN charges p ON p.id = c.charge_id WHERE c.id = ANY(CAST(:ids AS uuid[]))
""").returning(_Known)


class ChangeOfPayment(Kind[OpenChange]):
    """What is asked of a known PaymentIntent."""

    final = CHANGE_FINAL
    take_over = Statement(reopening.take_over_sql("changes", "sending"))
    renew = Statement(leasing.renew_sql("changes"))

    async def known(self, tx: Connection, rows: Sequence[LockedRow]) -> Mapping[UUID, KnownEffect]:
        """By the ids that the outbox rows name."""
        found = {c.id: c for c in await tx.rows(_READ, {"ids": [r.effect for r in rows if r.effect]})}
        return {r.outbox_id: found[r.effect] for r in rows if r.effect in found}

    def effect(self, row: LockedRow, known: KnownEffect, **of_effect: Any) -> OpenChange:
        """The change, and the charge that its answer may settle."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return OpenChange(
            kind=known.kind,
            charge=_charge(row, known),
            amount=known.amount_minor,
            wanted_by=known.wanted_by,
            **of_effect,
        )

    def request(self, row: LockedRow, known: KnownEffect) -> Request:  # noqa: ARG002  the change says all
        """The parameters of a capture or of a cancellation."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return Request(
            _capture(known.amount_minor) if known.kind == "capture" else _cancel(known.wanted_by), STRIPE_VERSION
        )

    def key(self, row: LockedRow, known: KnownEffect) -> str:
        """One of its own for each try."""
        assert isinstance(known, _Known)  # noqa: S101  what `known` has read
        return wire_key(
            account_id=row.account_id,
            is_default=row.is_default,
            operation=known.kind,
            order_key=row.idempotency_key,
            attempt=known.attempt,
            nth=known.nth,
        )

    async def send(self, stripe: Stripe, effect: OpenChange) -> Answer:
        """Post the stored request to the PaymentIntent."""
        where = paths.capture if effect.kind == "capture" else paths.cancel
        return await stripe.post(
            where(effect.payment_intent_id),
            effect.request,
            key=effect.idempotency_key,
            version=effect.stripe_version,
        )

    async def retrieve(self, stripe: Stripe, effect: OpenChange) -> tuple[Answer, Outcome]:
        """Ask for the PaymentIntent."""
        answer = await stripe.get_payment_intent(effect.payment_intent_id)
        return answer, answers.judge_retrieve(effect, answer)

    def spoken(self, effect: OpenChange, answer: Answer) -> Outcome | None:
        """The PaymentIntent as the change has left it."""
        return answers.spoken(effect, answer)

    def refused(self, effect: OpenChange, answer: Answer) -> Outcome | None:
        """Most refusals speak of the payment's state."""
        return answers.refused(effect, answer)

    async def record(
        self, tx: Connection, settlements: Sequence[Settlement[OpenChange]], settings: Settings
    ) -> set[UUID]:
        """The change, and the charge with its order and booking where Stripe's object proves its end."""
        return await settling.record(tx, settlements, settings)


def _charge(row: LockedRow, known: _Known) -> OpenCharge:
    return OpenCharge(
        id=known.charge_id,
        outbox_id=uuid4(),  # none: that of the change stays, if this worker was overtaken
        account_id=row.account_id,
        order_id=row.order_id,
        idempotency_key="",
        request={},
        stripe_version="",
        status=known.charge_status,
        call="retrieve",
        first_send=False,
        token=uuid4(),
        life=row.life,
        born_at=row.created_at,
        opened_at=row.now,
        attempt=known.attempt,
        amount=row.amount_minor,
        currency=row.currency,
        capture=row.capture,
        customer=row.customer,
        marks=marks_of(row, known.attempt),
        payment_intent_id=known.payment_intent_id,
    )


def _capture(amount: int | None) -> "PaymentIntentCaptureParams":
    params: PaymentIntentCaptureParams = {"expand": ["latest_charge.balance_transaction"]}
    if amount is not None:
        params["amount_to_capture"] = amount
    return params


def _cancel(wanted_by: str) -> "PaymentIntentCancelParams":
    """The reason tells, also to a database that has forgotten the change, what the order becomes (R31)."""
    match wanted_by:
        case "pay":
            return {"cancellation_reason": BEFORE_ANOTHER_ATTEMPT}
        case "producer":
            return {"cancellation_reason": "requested_by_customer"}
        case _:
            return {"cancellation_reason": "abandoned"}


CHANGE = ChangeOfPayment()
