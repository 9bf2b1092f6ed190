"""Whose payment a dispute or a warning is about: found by the PaymentIntent of one of our charges."""

from collections.abc import Sequence
from uuid import UUID

from service.foundation.postgres.sql import Batch, Connection, Record, Statement


class Payment(Record):
    """A charge of ours, by its PaymentIntent."""

    intent: str
    charge_id: UUID
    order_id: UUID
    account_id: UUID


class _Intents(Batch, frozen=True):
    """PaymentIntents that are asked for."""

    alias = "i"
    intent: Sequence[str]


_OURS = Statement(f"""
SELECT i.intent, c.id AS charge_id, c.order_id, c.account_id
  FROM {_Intents.unnest()}
  JOIN accounts a ON true
  JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = i.intent
""").returning(Payment)


async def ours(tx: Connection, intents: Sequence[str | None]) -> dict[str, Payment]:
    """Our charges of these PaymentIntents; one that is unknown here is not in it."""
    asked = sorted({intent for intent in intents if intent is not None})
    if not asked:
        return {}
    return {row.intent: row for row in await tx.rows(_OURS, _Intents(intent=asked).bound())}
