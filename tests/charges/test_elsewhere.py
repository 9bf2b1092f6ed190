"""A charge whose currency Stripe settles as another one waits for its balance transaction, which tells what arrived."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges import elsewhere
from service.foundation.postgres.sql import Record, Statement, begin
from service.stripe_gateway.objects import BalanceTransaction


class _Judged(Record):
    waits: bool


_JUDGE = Statement(f"""
SELECT {elsewhere.waits("c")} AS waits
  FROM (SELECT CAST(:settled_in AS text) AS settlement_currency, CAST(:settled AS bigint) AS settled_minor,
               CAST(:movement AS text) AS balance_transaction_id, CAST(:currency AS text) AS currency) AS c
""").returning(_Judged)


def shown(currency: str, at: int, id: str = "txn_1") -> BalanceTransaction:  # noqa: A002  Stripe's word
    return BalanceTransaction(id=id, amount=5, fee=0, net=5, currency=currency, created=at, type="charge")


async def noted(engine: AsyncEngine, *told: tuple[str, BalanceTransaction]) -> None:
    async with begin(engine) as tx:
        await elsewhere.note(tx, told)


@pytest.mark.parametrize(
    ("currency", "movement", "settled_in", "settled", "waits"),
    [
        ("eur", None, None, None, True),  # its movement will tell
        ("eur", "txn_9", None, None, False),  # its movement told nothing of another currency: it is booked as it is
        ("usd", None, None, None, False),
        ("jpy", None, None, None, False),  # it was settled elsewhere once, and is not any more
        ("gbp", None, None, None, False),  # nothing was ever seen of it
        ("gbp", None, "usd", None, True),  # this charge itself is known to be settled elsewhere
        ("gbp", "txn_9", "usd", None, True),  # at a sum that is not known
        ("gbp", "txn_9", "usd", 700, False),
    ],
)
async def test_a_charge_waits_where_its_movement_alone_can_tell_what_arrived(
    engine: AsyncEngine,
    currency: str,
    movement: str | None,
    settled_in: str | None,
    settled: int | None,
    *,
    waits: bool,
) -> None:
    await noted(engine, ("eur", shown("usd", 100)), ("usd", shown("usd", 100)), ("jpy", shown("usd", 100)))
    await noted(engine, ("jpy", shown("jpy", 200)))
    values = {"currency": currency, "movement": movement, "settled_in": settled_in, "settled": settled}
    async with begin(engine) as tx:
        assert (await tx.one(_JUDGE, values)).waits is waits


async def test_the_newest_movement_says_in_which_currency_another_arrives(engine: AsyncEngine) -> None:
    """An older one that is read late takes nothing back."""
    await noted(engine, ("eur", shown("usd", 100)), ("eur", shown("eur", 300, "txn_3")))
    await noted(engine, ("eur", shown("usd", 200, "txn_2")))
    values = {"currency": "eur", "movement": None, "settled_in": None, "settled": None}
    async with begin(engine) as tx:
        assert not (await tx.one(_JUDGE, values)).waits
