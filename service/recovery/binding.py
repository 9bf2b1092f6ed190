"""Which Stripe account and mode this database belongs to (R27), for the commands that read both."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured
from service.foundation.postgres.db import as_unavailable, is_unreachable
from service.foundation.postgres.sql import Record, Statement, connect


class _Bound(Record):
    """The Stripe that this database belongs to: none before Stripe was asked for the first time."""

    stripe_account_id: str | None
    stripe_livemode: bool | None


_BOUND = Statement("SELECT stripe_account_id, stripe_livemode FROM instance").returning(_Bound)


async def check_binding(engine: AsyncEngine, stripe_account_id: str, *, is_live: bool) -> None:
    """The schema is this code's, and the database belongs to this Stripe. Raises Misconfigured, Unavailable."""
    from service.foundation.postgres.migrate import check  # noqa: PLC0415  Alembic, only for this

    try:
        await check(engine)
        async with connect(engine) as connection:
            bound = await connection.one(_BOUND)
    except Exception as error:
        if not is_unreachable(error):
            raise
        raise as_unavailable(error) from error
    if bound.stripe_account_id is None:
        return
    if bound.stripe_account_id != stripe_account_id:
        raise Misconfigured(
            f"this database belongs to Stripe account {bound.stripe_account_id}, STRIPE_API_KEY to "
            f"{stripe_account_id}: nothing would match. Set the other key, or the other DATABASE_URL."
        )
    if bound.stripe_livemode not in (None, is_live):
        raise Misconfigured(
            f"this database belongs to Stripe's {_MODES[bound.stripe_livemode]}, STRIPE_API_KEY to its "
            f"{_MODES[is_live]}: nothing would match. Set the other key, or the other DATABASE_URL."
        )


_MODES = {True: "live mode", False: "test mode"}
