"""Who is at the other end: the Stripe that this database is bound to, with a clock that agrees with ours."""

import os
import signal
import time
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import Settings
from service.stripe_gateway.client import StripeGateway


async def refuse_a_key_that_may_not(gateway: StripeGateway, settings: Settings) -> None:
    """Refuse a restricted key that cannot do what is needed. Raises Misconfigured, naming what it lacks.

    Stripe being away is no reason not to start: the breaker asks again and says so.
    """
    if not settings.stripe_api_key.startswith("rk_"):
        return
    if lacks := await gateway.lacking_permissions():
        raise Misconfigured(
            f"STRIPE_API_KEY is a restricted key that may not do what is needed: {'; '.join(lacks)}. Allow it in"
            " Stripe's dashboard (Developers, API keys), then start again."
        )


class _Bound(Record):
    """The Stripe that this database belongs to, and the database's clock."""

    stripe_account_id: str
    stripe_livemode: bool | None
    now: datetime


_BIND = Statement("""
UPDATE instance SET stripe_account_id = :account, stripe_livemode = :livemode
 WHERE id = 1 AND stripe_account_id IS NULL
""")

_READ = Statement("""
SELECT stripe_account_id, stripe_livemode, clock_timestamp() AS now FROM instance WHERE id = 1
""").returning(_Bound)


async def identify_stripe(engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> str | None:
    """Ask Stripe who it is, by a call that charges nobody. None: it is ours and its clock agrees; else why not.

    The database remembers its Stripe at the first answer. Another one ends the process (R27): its keys, ids and money
    are not the ones these books are about.
    """
    try:
        account, date = await gateway.account_id()
    except Unavailable as error:
        return str(error)
    livemode = settings.stripe_is_live
    async with connect(engine) as connection:
        await connection.run(_BIND, {"account": account, "livemode": livemode})
        row = await connection.one(_READ)  # by a second statement, which sees whoever was first
    if (row.stripe_account_id, row.stripe_livemode) != (account, livemode):
        log.event(Event.STRIPE_ANOTHER_ACCOUNT, bound_to=row.stripe_account_id, configured=account)
        os.kill(os.getpid(), signal.SIGTERM)
        return "this database belongs to another Stripe account"
    skew = abs(row.now.timestamp() - (date if date is not None else time.time()))
    if skew > settings.clock_skew_max_s:
        return f"the database's clock and Stripe's differ by {skew:.0f} s"
    return None
