"""What is stored of an effect that was opened or asked for before."""

from datetime import datetime
from uuid import UUID

from service.foundation.postgres.sql import Record
from service.states import NextCall


class KnownEffect(Record):
    """The columns that all effects share; `request` and `history` are JSON. `born_at`: nobody sent its key before.

    idempotency_key: None where it was asked for and never opened.
    """

    id: UUID
    idempotency_key: str | None
    request: str
    stripe_version: str
    status: str
    next_call: NextCall
    lease_until: datetime | None
    maybe_executed: bool
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    unclear_in_a_row: int
    nth: int
    key_conflict: bool
    history: str
    born_at: datetime


def columns(*, born_at: str, nth: str = "c.nth") -> str:
    """Those columns of a table that the statement around names `c`."""
    return f"""c.id, c.idempotency_key, c.request::text AS request, c.stripe_version, c.status, c.next_call,
       c.lease_until, c.maybe_executed, c.first_sent_at, c.last_sent_at, c.unclear_in_a_row, {nth} AS nth,
       c.key_conflict, c.history::text AS history, {born_at} AS born_at"""
