"""What goes back of a charge that Stripe settled in another currency, at the rate of that charge. Pure, integers only.

The rate is two integers: what the customer paid, and what Stripe's balance got for it. A part of the one is worth the
same part of the other, rounded down. Of several refunds the sum of all amounts is converted, and what was promised
before is taken off: so all of them together are worth exactly what the charge was, in however many parts it goes back.
What is owed, because a refund failed, is drawn by the same rule: who draws all of it leaves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from service.ledger.entry import Money


@dataclass(frozen=True, slots=True)
class Rate:
    """What a customer paid, in minor units, and what Stripe's balance got for it."""

    taken_minor: int
    settled: Money

    def of(self, minor: int) -> int:
        """What a part of what was taken is worth in Stripe's balance; all of it is worth all that it got."""
        return minor * self.settled.minor // self.taken_minor


@dataclass(frozen=True, slots=True)
class Worth:
    """What a refund gives back, at the rate of its charge, in minor units of its currency of settlement.

    promised_minor: what it promises anew. drawn_minor: what a refund that failed had left owed.
    """

    currency: str
    promised_minor: int
    drawn_minor: int

    @property
    def minor(self) -> int:
        """All of it."""
        return self.promised_minor + self.drawn_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A refund that Stripe has made. `is_owed`: it gave nothing back in the end. `worth`: where it is known.

    Amounts in minor units of the customer's currency; `drawn_minor` of the amount was owed before.
    """

    id: UUID
    amount_minor: int
    drawn_minor: int
    is_owed: bool
    worth: Worth | None = None


def worth_of(rate: Rate, refunds: Sequence[Made], *, of_duplicate: bool) -> Mapping[UUID, Worth]:
    """What each of these, which are all of one charge, is worth. What is known of some is not changed.

    `refunds`: in the order in which Stripe made them. Of a duplicate nothing is promised: what failed is as if it had
    never been.
    """
    known = [refund for refund in refunds if refund.worth is not None]
    # One that drew was made after another had failed.
    for refund in sorted((refund for refund in refunds if refund.worth is None), key=lambda one: one.drawn_minor > 0):
        known.append(replace(refund, worth=_worth(rate, known, refund, of_duplicate=of_duplicate)))
    return {refund.id: refund.worth for refund in known if refund.worth is not None}


def _worth(rate: Rate, known: Sequence[Made], refund: Made, *, of_duplicate: bool) -> Worth:
    given = [one for one in known if not (of_duplicate and one.is_owed)]
    before = sum(one.amount_minor - one.drawn_minor for one in given)
    promised_before = sum(one.worth.promised_minor for one in given if one.worth is not None)
    promised = rate.of(before + refund.amount_minor - refund.drawn_minor) - promised_before
    drawn = 0 if of_duplicate else _drawn(known, refund.drawn_minor)
    return Worth(rate.settled.currency, max(promised, 0), drawn)


def _drawn(known: Sequence[Made], drawn_minor: int) -> int:
    """The part of what is owed that is worth this much of it."""
    owed = sum(one.amount_minor for one in known if one.is_owed) - sum(one.drawn_minor for one in known)
    worth = sum(one.worth.minor for one in known if one.worth is not None and one.is_owed)
    worth -= sum(one.worth.drawn_minor for one in known if one.worth is not None)
    return worth * min(drawn_minor, owed) // owed if owed > 0 else 0
