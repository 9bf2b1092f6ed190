"""What goes back of a charge in another currency: integers only, and nothing is left over, whatever refunds do."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import ledger
from service.ledger import JournalEntry, Made, Money, Rate, Worth, worth_of
from service.stripe_gateway.objects import BalanceTransaction, Refund
from tests.ledger.support import ALICE, NOON

PAYABLE, CONTRA, BALANCE, FX = "liabilities:refunds_payable", "contra:refunds", "assets:stripe:balance", "income:fx"
AT = int(NOON.timestamp())
amounts = st.integers(1, 10_000_000)
# Of what may still be given back, in thousandths; whether it fails, and by what part of its worth the rate has moved.
asks = st.lists(
    st.tuples(st.integers(1, 1000), st.sampled_from(["succeeds", "fails", "fails unsent"]), st.integers(-900, 3000)),
    max_size=12,
)


@dataclass
class Shop:
    """One charge, its refunds as an order counts them, and all that is booked of them."""

    rate: Rate
    of_duplicate: bool = False
    refunds: list[Made] = field(default_factory=list)
    entries: list[JournalEntry] = field(default_factory=list)
    refunded: int = 0
    owed: int = 0

    @property
    def left(self) -> int:
        return self.rate.taken_minor - self.refunded

    def refund(self, amount: int, how: str, moved: int) -> None:
        """One refund of `amount` from its first sight to its end; the rate has moved by so many thousandths."""
        drawn = 0 if self.of_duplicate else min(self.owed, amount)
        made = Made(id=uuid4(), amount_minor=amount, drawn_minor=drawn, is_owed=False)
        worth = worth_of(self.rate, [*self.refunds, made], of_duplicate=self.of_duplicate)[made.id]
        cash = worth.minor + worth.minor * moved // 1000
        failed = how != "succeeds"
        self.refunds.append(replace(made, is_owed=failed, worth=worth))
        self.entries += ledger.refund_entries(
            account_id=ALICE,
            order_id=None,
            refund=_shown(made, cash if how != "fails unsent" else None, cash + 7 if how == "fails" else None),
            drawn_minor=drawn,
            of_duplicate=self.of_duplicate,
            worth=worth,
        )
        if failed and not self.of_duplicate:
            self.owed += amount - drawn
        elif not failed:
            self.refunded += amount
            self.owed -= drawn

    def of(self, account: str) -> int:
        return sum(p.amount_minor for e in self.entries for p in e.postings if p.code == account)


def _shown(made: Made, gone: int | None, back: int | None) -> Refund:
    return Refund(
        id=f"re_{made.id.hex}",
        created=AT,
        amount=made.amount_minor,
        currency="jpy",
        balance_transaction=None if gone is None else _moved(f"txn_{made.id.hex}", -gone),
        failure_balance_transaction=None if back is None else _moved(f"txn_back_{made.id.hex}", back),
    )


def _moved(name: str, amount: int) -> BalanceTransaction:
    return BalanceTransaction(id=name, amount=amount, fee=0, net=amount, currency="usd", created=AT, type="refund")


def _all_given_back(rate: Rate, asked: Sequence[tuple[int, str, int]], *, of_duplicate: bool = False) -> Shop:
    shop = Shop(rate, of_duplicate)
    for part, how, moved in asked:
        if shop.left:
            shop.refund(max(1, shop.left * part // 1000), how, moved)
    if shop.left:
        shop.refund(shop.left, "succeeds", 0)
    return shop


@given(taken=amounts, got=st.integers(0, 10_000_000), asked=asks)
def test_after_a_full_refund_in_any_parts_nothing_is_owed_and_all_revenue_is_given_back(
    taken: int, got: int, asked: list[tuple[int, str, int]]
) -> None:
    shop = _all_given_back(Rate(taken, Money(got, "usd")), asked)
    assert (shop.of(PAYABLE), shop.of(CONTRA)) == (0, got)
    assert shop.of(BALANCE) + shop.of(FX) == -got, "what the rate moved is fx, and nothing else is"


@given(taken=amounts, got=st.integers(0, 10_000_000), asked=asks)
def test_after_a_full_refund_of_a_duplicate_nothing_is_in_suspense(
    taken: int, got: int, asked: list[tuple[int, str, int]]
) -> None:
    shop = _all_given_back(Rate(taken, Money(got, "usd")), asked, of_duplicate=True)
    assert shop.of("suspense:stripe") == got


@given(taken=amounts, got=amounts, asked=asks)
def test_every_entry_balances_and_moves_stripes_balance_by_what_stripe_says(
    taken: int, got: int, asked: list[tuple[int, str, int]]
) -> None:
    """That each balances is said by its shape; that a repeat books the same, by its digest."""
    shop = _all_given_back(Rate(taken, Money(got, "usd")), asked)
    for entry in shop.entries:
        assert {posting.currency for posting in entry.postings} == {"usd"}
        assert entry.customer is not None
        assert entry.customer.currency == "jpy"
    again = worth_of(shop.rate, shop.refunds, of_duplicate=False)
    assert again == {refund.id: refund.worth for refund in shop.refunds}, "what is known is not changed"


@given(taken=amounts, got=amounts, parts=st.lists(st.integers(1, 1000), max_size=10))
def test_worth_of_many_at_once_is_that_of_one_after_the_other(taken: int, got: int, parts: list[int]) -> None:
    """As they are valued when what took their charge's money becomes known after they were made."""
    rate, left, made = Rate(taken, Money(got, "usd")), taken, list[Made]()
    for n, part in enumerate(parts):
        amount = max(1, left * part // 1000)
        if left:
            made.append(Made(id=UUID(int=n), amount_minor=amount, drawn_minor=0, is_owed=n % 3 == 0))
            left -= amount
    one_by_one: list[Made] = []
    for refund in made:
        worth = worth_of(rate, [*one_by_one, refund], of_duplicate=False)
        one_by_one.append(replace(refund, worth=worth[refund.id]))
    assert worth_of(rate, made, of_duplicate=False) == {refund.id: refund.worth for refund in one_by_one}


def test_an_example_that_a_person_can_follow() -> None:
    """10.00 became 10.85: three times 3.33 and 0.01 are worth 3.61, 3.61, 3.61 and 0.02; rounded alone: 10.84."""
    rate = Rate(1000, Money(1085, "usd"))
    made = [Made(id=UUID(int=n), amount_minor=a, drawn_minor=0, is_owed=False) for n, a in enumerate([333] * 3 + [1])]
    worth = worth_of(rate, made, of_duplicate=False)
    assert [worth[refund.id] for refund in made] == [Worth("usd", n, 0) for n in (361, 361, 361, 2)]


def test_a_refund_that_moved_a_third_currency_is_refused() -> None:
    made = Made(id=UUID(int=1), amount_minor=10, drawn_minor=0, is_owed=False)
    with pytest.raises(ValueError, match="is in usd, its charge in eur"):
        _entries(_shown(made, 9, None), worth=Worth("eur", 9, 0))
    with pytest.raises(ValueError, match="is in usd, its charge in jpy"):
        _entries(_shown(made, 9, None), worth=None)


def _entries(shown: Refund, **how: Any) -> tuple[JournalEntry, ...]:
    return ledger.refund_entries(
        account_id=ALICE, order_id=None, refund=shown, drawn_minor=0, of_duplicate=False, **how
    )


def test_what_is_booked_anew_keeps_the_moment_and_names_what_the_customer_paid() -> None:
    entry = ledger.charge_entry(
        account_id=ALICE,
        order_id=None,
        payment_intent_id="pi_1",
        stripe_charge_id="ch_1",
        amount_minor=1085,
        currency="usd",
        occurred_at=NOON + timedelta(days=1),
        customer=Money(1000, "eur"),
    )
    assert (ledger.settled_entry(entry).reference, ledger.settled_entry(entry).kind) == (
        "settled:charge:ch_1",
        "settled",
    )
    assert ledger.settled_entry(entry).customer == Money(1000, "eur")
