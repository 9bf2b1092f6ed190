"""Between two sweeps of the balance: movements of charges that were made a moment ago are looked for at once (R24).

A movement becomes known seconds after its charge. While young charges wait for theirs, the newest part of the list is
read, down to what is known; what a look does not reach is found by the next sweep. Where nothing is due, Stripe is not
asked, and a charge whose movement does not come is looked for after a quarter of its age.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance.booking import AT_ONCE, Booked, book_shown, book_waiting
from service.balance.gateway import BalanceLists
from service.balance.sweep import is_readable
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import Settings
from service.states import CHARGE_MONEY_MOVED, in_sql
from service.stripe_gateway.objects import BalanceTransaction, IncompleteListing

RECENT_S = 600  # almost every movement is known within seconds; a later one is found by the sweeps
LISTED_MAX = 10_000  # movements of one look: 100 calls
PAGE = 100  # movements of one transaction: what one call brings
WAITING_MAX = 10 * AT_ONCE  # open movements looked at again in one look
# A capture whose movement Stripe did not show at once is booked under the moment of Stripe's answer, which may be a
# little later than the movement's. Of the newest seconds of a list more may still come.
MAY_BE_EARLIER_S = 2
_OF_ITS_AGE = 4


class _Due(Record):
    """The earliest moment of a young charge without its movement; null where there is none to be looked for now."""

    earliest: datetime | None
    asked_at: datetime


# By the small index of charges whose movement was not seen yet.
_DUE = Statement(f"""
SELECT min(charged_at) FILTER (
         WHERE coalesce(now() - CAST(:asked_at AS timestamptz) >= (now() - charged_at) / {_OF_ITS_AGE}, true)
       ) AS earliest, now() AS asked_at
  FROM charges
 WHERE status IN {in_sql(CHARGE_MONEY_MOVED)} AND balance_transaction_id IS NULL AND stripe_charge_id IS NOT NULL
   AND charged_at >= now() - make_interval(secs => {RECENT_S})
""").returning(_Due)


@dataclass(slots=True)
class Looking:
    """One process's looks. What it remembers saves calls, and is no harm to forget."""

    engine: AsyncEngine
    gateway: BalanceLists
    settings: Settings
    _asked_at: datetime | None = None
    _whole_to: int | None = None  # Unix seconds: what is older was read by a look that came to its end

    async def once(self) -> Booked:
        """Book what has become known since, then look for what is new."""
        found = await self._of_waiting()
        due = await self._due()
        if due.earliest is None:
            return found
        self._asked_at = due.asked_at
        try:
            await self._read(int(due.earliest.timestamp()) - MAY_BE_EARLIER_S, found)
        except IncompleteListing as error:
            log.event(Event.SWEEP_INCOMPLETE, kind="balance_transactions", reason=str(error))
        return found

    async def _of_waiting(self) -> Booked:
        found = Booked()
        for _ in range(WAITING_MAX // AT_ONCE):
            again = await book_waiting(self.engine, self.settings)
            found.booked += again.booked
            found.read |= again.read
            if again.booked + again.waiting < AT_ONCE:
                break
        return found

    async def _due(self) -> _Due:
        async with connect(self.engine) as connection:
            return await connection.one(_DUE, {"asked_at": self._asked_at})

    async def _read(self, since: int, found: Booked) -> None:
        page: list[BalanceTransaction] = []
        newest: int | None = None
        listed = 0
        try:
            async for movement in self.gateway.list_balance_transactions(since):
                listed += 1
                if is_readable(movement):
                    newest = newest or movement.created
                    page.append(movement)
                if len(page) == PAGE:
                    full, page = page, []
                    if not await self._book(full, found) and movement.created < (self._whole_to or 0):
                        break  # all that is older was read before
                if listed == LISTED_MAX:
                    return
        finally:  # also what a listing showed before it broke off
            await self._book(page, found)
        if newest is not None:
            self._whole_to = newest - MAY_BE_EARLIER_S

    async def _book(self, page: list[BalanceTransaction], found: Booked) -> int:
        booked = await book_shown(self.engine, page) if page else Booked()
        found.new += booked.new
        found.booked += booked.booked
        found.read |= booked.read
        return booked.new
