"""What refunds of a charge are worth that Stripe settled in another currency: fixed when it is first known.

The orders of these charges are locked by whoever calls: no refund of them is made or ends meanwhile.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from service import ledger
from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.ledger import JournalEntry, Made, Money, Rate, Worth
from service.states import REFUND_ENDED_UNPAID


class _Refund(Record):
    """A refund that Stripe has made, with what its charge took of the customer, and what Stripe's balance got of it."""

    id: UUID
    charge_id: UUID
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    stripe_refund_id: str
    stripe_created: datetime
    status: str
    amount_minor: int
    currency: str
    drawn_minor: int
    promised_settled_minor: int | None
    drawn_settled_minor: int | None
    of_duplicate: bool
    taken_minor: int
    settlement_currency: str | None
    settled_minor: int | None

    @property
    def rate(self) -> Rate | None:
        """Of its charge, where that is settled in another currency."""
        if self.settlement_currency is None or self.settled_minor is None:
            return None
        return Rate(self.taken_minor, Money(self.settled_minor, self.settlement_currency))

    @property
    def made(self) -> Made:
        """What of it decides its worth."""
        worth = None
        if self.settlement_currency and self.promised_settled_minor is not None:
            worth = Worth(self.settlement_currency, self.promised_settled_minor, self.drawn_settled_minor or 0)
        return Made(
            id=self.id,
            amount_minor=self.amount_minor,
            drawn_minor=self.drawn_minor,
            is_owed=self.status in REFUND_ENDED_UNPAID,
            worth=worth,
        )


_REFUNDS = Statement("""
SELECT r.id, r.charge_id, r.account_id, r.order_id, c.payment_intent_id, r.stripe_refund_id, r.stripe_created, r.status,
       r.amount_minor, r.currency, r.drawn_minor, r.promised_settled_minor, r.drawn_settled_minor,
       c.status = 'duplicate' AS of_duplicate, coalesce(c.captured_minor, c.amount_minor) AS taken_minor,
       c.settlement_currency, c.settled_minor
  FROM charges c JOIN refunds r ON r.order_id = c.order_id AND r.charge_id = c.id
 WHERE c.id = ANY (CAST(:charges AS uuid[])) AND r.stripe_refund_id IS NOT NULL AND r.stripe_created IS NOT NULL
 ORDER BY r.charge_id, r.stripe_created, r.id
""").returning(_Refund)


async def worth(tx: Connection, charges: Collection[UUID]) -> Mapping[UUID, Worth]:
    """What each refund of these charges is worth, by its id; none of a charge that is settled in its own currency."""
    return await _worth(tx, await tx.rows(_REFUNDS, {"charges": list(charges)})) if charges else {}


async def promises(tx: Connection, charges: Collection[UUID]) -> list[JournalEntry]:
    """What has the promises of these charges' refunds on the books in the currency that the charges are settled in."""
    refunds = await tx.rows(_REFUNDS, {"charges": list(charges)})
    if not refunds:
        return []
    known = await _worth(tx, refunds)
    owed = [refund for refund in refunds if not refund.of_duplicate]
    entries = {refund.id: _promise(refund, known.get(refund.id)) for refund in owed}
    anew = await ledger.anew(tx, [entry for entry in entries.values() if entry is not None])
    return anew + await _worthless(tx, [refund for refund in owed if entries[refund.id] is None])


async def _worthless(tx: Connection, refunds: Sequence[_Refund]) -> list[JournalEntry]:
    """What takes back the promises that are worth nothing in the currency of settlement."""
    names = [(r.account_id, ledger.refund_pending_reference(r.stripe_refund_id)) for r in refunds]
    stands = await ledger.standing(tx, names) if names else {}
    return [ledger.reversal_entry(entry) for entry in stands.values()]


def _promise(refund: _Refund, known: Worth | None) -> JournalEntry | None:
    return ledger.refund_pending_entry(
        drawn_minor=refund.drawn_minor,
        worth=known,
        account_id=refund.account_id,
        order_id=refund.order_id,
        payment_intent_id=refund.payment_intent_id,
        stripe_refund_id=refund.stripe_refund_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        occurred_at=refund.stripe_created,
    )


class _Values(Batch, frozen=True):
    """Refunds and what they are worth."""

    alias = "v"
    id: Sequence[UUID]
    promised: Sequence[int]
    drawn: Sequence[int]


_FIX = Statement(f"""
UPDATE refunds r SET promised_settled_minor = v.promised, drawn_settled_minor = v.drawn
  FROM {_Values.unnest()}
 WHERE r.id = v.id
""")


async def _worth(tx: Connection, refunds: Sequence[_Refund]) -> dict[UUID, Worth]:
    known: dict[UUID, Worth] = {}
    for _, group in groupby(refunds, key=lambda refund: refund.charge_id):
        of_charge = list(group)
        rate = of_charge[0].rate
        if rate is not None:
            made = [refund.made for refund in of_charge]
            known |= ledger.worth_of(rate, made, of_duplicate=of_charge[0].of_duplicate)
    new = [refund.id for refund in refunds if refund.promised_settled_minor is None and refund.id in known]
    if new:
        promised, drawn = [known[i].promised_minor for i in new], [known[i].drawn_minor for i in new]
        await tx.run(_FIX, _Values(id=new, promised=promised, drawn=drawn).bound())
    return known
