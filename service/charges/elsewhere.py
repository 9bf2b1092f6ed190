"""Which currencies Stripe's balance gets as another one: its balance transactions have shown it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from service.foundation.postgres.sql import Batch, Connection, Statement
from service.stripe_gateway.objects import BalanceTransaction

# Of a charge in one of these nothing is booked before its balance transaction tells what the balance got. The table has
# a row or two, and is read once a statement.
SETTLES_ELSEWHERE = "IN (SELECT currency FROM settlement_currencies WHERE settles_in <> currency)"


def waits(charge: str) -> str:
    """The condition that the booking of the charge in this row waits for its balance transaction."""
    return f"""(CASE WHEN {charge}.settlement_currency IS NOT NULL THEN {charge}.settled_minor IS NULL
          ELSE {charge}.balance_transaction_id IS NULL AND {charge}.currency {SETTLES_ELSEWHERE} END)"""


class _Shown(Batch, frozen=True):
    """Currencies of customers, and what shows in which one Stripe's balance gets them."""

    alias = "shown"
    currency: Sequence[str]
    settles_in: Sequence[str]
    seen_in: Sequence[str]
    seen_at: Sequence[datetime]


# A currency that was never settled elsewhere has no row. An older balance transaction takes nothing back.
_NOTE = Statement(f"""
INSERT INTO settlement_currencies AS known ({_Shown.columns()})
SELECT DISTINCT ON (currency) {_Shown.columns()} FROM {_Shown.unnest()} ORDER BY currency, seen_at DESC
ON CONFLICT (currency) DO UPDATE
   SET settles_in = excluded.settles_in, seen_in = excluded.seen_in, seen_at = excluded.seen_at
 WHERE known.settles_in <> excluded.settles_in AND known.seen_at < excluded.seen_at
""")


async def note(tx: Connection, shown: Sequence[tuple[str, BalanceTransaction]]) -> None:
    """These customers' currencies were settled as these balance transactions show."""
    batch = _Shown(
        currency=[currency for currency, _ in shown],
        settles_in=[bt.currency for _, bt in shown],
        seen_in=[bt.id for _, bt in shown],
        seen_at=[datetime.fromtimestamp(bt.created, UTC) for _, bt in shown],
    )
    await tx.run(_NOTE, batch.bound())
