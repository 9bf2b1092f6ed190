"""An order whose key Stripe has for another request, of a life that was forgotten: nothing of it may be sent (R32)."""

from dataclasses import replace
from uuid import UUID

from service.effects.parking import KEY_AT_STRIPE
from service.foundation.postgres.sql import Connection, Record, Statement
from service.outbox import rows
from service.outbox.handling import park_fragment
from service.recovery.charge_rows import insert_charge
from service.recovery.knowing import Listed
from service.states import CHARGE_FINAL, ORDER_MOVES_BY_ITSELF, in_sql

# An order that has come further keeps what it has.
_IS_YOUNG = Statement(f"SELECT FROM orders WHERE id = :order AND status IN {in_sql(ORDER_MOVES_BY_ITSELF)}")

_TO_PROCESSING = Statement("""
UPDATE orders SET status = 'processing', updated_at = now() WHERE id = :order AND status = 'pending'
""")

# Whoever is about to settle one of them is fenced off.
_CONFLICTS = Statement(f"""
UPDATE charges SET key_conflict = true, next_call = 'lookup', token = NULL, lease_until = NULL
 WHERE order_id = :order AND payment_intent_id IS NULL AND status NOT IN {in_sql(CHARGE_FINAL)}
""")


class _Missing(Record):
    n: int


# Those that could be opened, and the one that has the payment.
_MISSING_ATTEMPTS = Statement(f"""
SELECT n FROM (
  SELECT 1 AS n UNION SELECT CAST(:listed AS int) UNION
  SELECT attempt FROM {rows.ROWS} WHERE order_id = :order AND kind = 'charge'
) AS wanted
 WHERE NOT EXISTS (SELECT FROM charges WHERE order_id = :order AND attempt = n)
""").returning(_Missing)

# An attempt that has a payment of its own is followed to its end.
_PARK = Statement(
    park_fragment(
        f"""x.order_id = :order AND x.kind = 'charge' AND NOT EXISTS (
   SELECT FROM charges c WHERE c.order_id = x.order_id AND c.payment_intent_id IS NOT NULL
      AND c.attempt = {rows.ATTEMPT})""",
        reason=":reason",
    )
)


async def block(tx: Connection, listed: Listed, order_id: UUID, life: int) -> None:
    """The order is looked up only, in each attempt, and parked."""
    which: dict[str, object] = {"order": order_id}
    if await tx.row(_IS_YOUNG, which) is None:
        return
    await tx.run(_TO_PROCESSING, which)
    await tx.run(_CONFLICTS, which)
    for missing in await tx.rows(_MISSING_ATTEMPTS, which | {"listed": listed.marks.attempt}):
        at = replace(listed, marks=replace(listed.marks, attempt=missing.n))
        await insert_charge(tx, at, order_id, life, call="lookup", conflict=True)
    await tx.run(_PARK, which | {"reason": KEY_AT_STRIPE})
