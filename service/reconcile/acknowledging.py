"""Acknowledging a discrepancy: it stays listed with its age, and does not count until it changes."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service import audit
from service.audit import Action, Deed, Who
from service.foundation.errors import Misconfigured, NotFound
from service.foundation.postgres.sql import Record, Statement, begin


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The discrepancy that was acknowledged."""

    fingerprint: str
    name: str


class _Open(Record):
    fingerprint: str
    name: str
    order_id: UUID | None
    amount_minor: int | None
    currency: str | None


# The row is locked, so that the acknowledgement copies it as it is at its commit.
_OPEN = Statement("""
SELECT fingerprint, class AS name, order_id, amount_minor, currency FROM discrepancies
 WHERE resolved_at IS NULL AND starts_with(fingerprint, :beginning) ORDER BY fingerprint LIMIT 2 FOR UPDATE
""").returning(_Open)

_ACKNOWLEDGE = Statement("""
INSERT INTO acknowledgements (id, fingerprint, acknowledged_by, reason, amount_minor, ours, stripe)
SELECT :id, fingerprint, :by, :reason, amount_minor, ours, stripe FROM discrepancies WHERE fingerprint = :fingerprint
""")


async def acknowledge(engine: AsyncEngine, fingerprint: str, *, who: Who, reason: str) -> Acknowledged:
    """Record that `who` accepts the open discrepancy whose fingerprint begins so. Raises NotFound or Misconfigured."""
    async with begin(engine) as tx:
        found = await tx.rows(_OPEN, {"beginning": fingerprint})
        if not found:
            raise NotFound(
                f"There is no open discrepancy {fingerprint}. `eo reconcile` lists them with their fingerprints."
            )
        if len(found) > 1:
            raise Misconfigured(f"More than one open discrepancy begins with {fingerprint}. Give more of it.")
        (one,) = found
        values = {"id": uuid7(), "fingerprint": one.fingerprint, "by": who.actor, "reason": reason}
        await tx.run(_ACKNOWLEDGE, values)
        before = {"class": one.name, "amount": one.amount_minor, "currency": one.currency}
        deed = Deed(one.fingerprint, one.order_id, before, {"acknowledged_by": who.actor})
        await audit.note_each(tx, who, Action.DISCREPANCY_ACKNOWLEDGE, [deed], reason=reason)
    return Acknowledged(one.fingerprint, one.name)
