"""A moment in which Stripe's balance holds still: only then can what it says be compared with its movements.

It is read before and after the newest movements; where the two differ it moved meanwhile, and is read again. Each
reading goes on where the one before has come to, so that it takes ever less time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.balance.gateway import BalanceGateway
from service.stripe_gateway.objects import BalanceTransaction

TRIES = 5  # readings of a balance that moves
OVERLAP_S = 10  # seconds read twice, as sweeps do


@dataclass(frozen=True, slots=True)
class Still:
    """The balance per currency, in minor units, and the movements since `since` (Unix seconds) that are in it."""

    total: Mapping[str, int]
    newest: Sequence[BalanceTransaction]
    since: int


async def hold_still(gateway: BalanceGateway, since: int) -> Still | None:
    """What the balance is; None where it moved during each of TRIES readings. Raises IncompleteListing."""
    newest: dict[str, BalanceTransaction] = {}
    start = since
    for _ in range(TRIES):
        before = (await gateway.balance()).total
        newest |= {bt.id: bt async for bt in gateway.list_balance_transactions(start)}
        if before == (await gateway.balance()).total:
            return Still(before, list(newest.values()), since)
        start = max([start, *(bt.created - OVERLAP_S for bt in newest.values())])
    return None
