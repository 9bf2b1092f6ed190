"""The proof of Stripe's balance: planted differences are found, and none is ever resolved by silence."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, product
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.ledger import JournalEntry, Posting
from service.reconcile import Span, reconcile
from service.reconcile.acknowledging import acknowledge
from service.stripe_gateway.balance import Balance, Funds
from service.stripe_gateway.objects import BalanceTransaction, Intent
from tests.ledger.support import book
from tests.operators import OPERATOR
from tests.reconcile.balance_oracle import Moved, Pair, judge
from tests.reconcile.conftest import NOW, RULES, Outcome
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import default_account
from tests.reconcile.world import HOUR, intent
from tests.web.afterwards import rows

GRACE = timedelta(seconds=600)
OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)
UNKNOWN = "its category is unknown to this version"


class Account(FakeStripe):
    """A Stripe with a balance. had: what is in it beyond its movements; moves: calls during which it moves."""

    def __init__(self, movements: list[Moved], intents: Sequence[Intent] = (), **had: int) -> None:
        super().__init__(list(intents))
        self.movements = {one.id: one for one in movements}
        self.had = had
        self.hidden: set[str] = set()
        self.moves = 0

    async def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        for one in sorted(self.movements.values(), key=lambda one: (-one.at.timestamp(), one.id)):
            if created_gte <= one.at.timestamp() < (created_lt or 2**62) and one.id not in self.hidden:
                yield _shown(one)

    async def retrieve_balance_transaction(self, transaction_id: str) -> BalanceTransaction | None:
        found = self.movements.get(transaction_id)
        return None if found is None else _shown(found)

    async def balance(self) -> Balance:
        self.moves -= 1
        own = [Funds(amount=n, currency=c) for c, n in self.had.items()]
        moved = [Funds(amount=m.net, currency=m.currency) for m in self.movements.values() if m.balance == "payments"]
        return Balance(available=own, pending=[*moved, Funds(amount=max(self.moves, 0), currency="usd")])


def _shown(one: Moved) -> BalanceTransaction:
    return BalanceTransaction(
        id=one.id, amount=one.amount, fee=one.fee, net=one.net, currency=one.currency, created=int(one.at.timestamp()),
        type=one.category, source=f"src_{one.id}", reporting_category=one.category, balance_type=one.balance,
    )  # fmt: skip


def moved(name: str = "txn_1", at: datetime = OLD, **how: Any) -> Moved:
    """A movement of 19.11 USD."""
    return replace(Moved(name, "charge", 1999, 88, "usd", at), **how)


@dataclass
class Desk:
    """Our side, and the question."""

    engine: AsyncEngine

    async def has(self, *pairs: Pair, why: str = "its charge is unknown here") -> None:
        """These movements are stored and booked as they stand; the balance was swept and its books opened."""
        await rows(
            self.engine, "UPDATE instance SET created_at = :at, balance_opened_at = :at", at=NOW - 99 * 24 * HOUR
        )
        await rows(
            self.engine, "INSERT INTO sweeps (kind, swept_until, swept_at) VALUES ('balance_transactions', :at, now())"
            " ON CONFLICT DO NOTHING", at=NOW - GRACE,
        )  # fmt: skip
        account, entries = await default_account(self.engine), list[JournalEntry]()
        for ours, status, _ in pairs:
            if ours is None:
                continue
            await rows(
                self.engine,
                "INSERT INTO balance_transactions (id, type, category, balance_type, source, amount_minor, fee_minor,"
                " net_minor, currency, stripe_created, status, why) VALUES (:id, 'charge', :category, :balance,"
                " :source, :amount, :fee, :net, :currency, :at, :status, :why)",
                id=ours.id, category=ours.category, balance=ours.balance, source=f"src_{ours.id}", amount=ours.amount,
                fee=ours.fee, net=ours.net, currency=ours.currency, at=ours.at, status=status,
                why=None if status == "booked" else why,
            )  # fmt: skip
            if status != "waiting" and ours.balance == "payments":
                legs = (("assets:stripe:balance", ours.net), ("suspense:stripe", -ours.net))
                postings = tuple(Posting(code, ours.currency, minor) for code, minor in legs)
                entries.append(JournalEntry(
                    account_id=account, reference=f"suspense:{ours.id}", kind="suspense", order_id=None,
                    payment_intent_id=None, occurred_at=ours.at, postings=postings,
                ))  # fmt: skip
        await book(self.engine, *entries)

    async def asks(self, stripe: Account, span: Span | None = None, now: datetime = NOW) -> Outcome:
        """Reconcile, with the balance."""
        async with reconcile(
            self.engine, stripe, span or Span(), grace_s=600, rules=RULES, now=now, balance=stripe
        ) as report:
            found = [d async for d in report.discrepancies()]
            return Outcome(report.verdict, found, report.comparison, report.money_at_stake)

    async def resolved(self) -> list[bool]:
        found = await rows(self.engine, "SELECT resolved_at IS NOT NULL AS gone FROM discrepancies ORDER BY 1")
        return [row["gone"] for row in found]


async def test_the_sql_proves_every_pair_as_the_second_implementation_does(engine: AsyncEngine) -> None:
    """Every standing of ours against every difference of Stripe's, young and old, of two balances."""
    numbers, pairs = count(), list[Pair]()
    differences: list[dict[str, Any] | None] = [
        None, {}, {"amount": 2000}, {"fee": 89}, {"amount": 2000, "fee": 89}, {"currency": "eur"},
        {"category": "refund"}, {"balance": "issuing"},
    ]  # fmt: skip
    for status, how, at in product(("", "booked", "waiting", "suspense"), differences, (OLD, YOUNG)):
        n = next(numbers)
        if status or how is not None:
            ours = moved(f"txn_{n}", at, amount=1999 + 100 * n)
            difference = {**(how or {}), **({"amount": ours.amount + 1} if how and "amount" in how else {})}
            pairs.append(Pair(ours if status else None, status, None if how is None else replace(ours, **difference)))
    had = {"usd": 77, "jpy": -5}
    desk, stripe = Desk(engine), Account([pair.theirs for pair in pairs if pair.theirs])
    stripe.had = had
    await desk.has(*pairs)
    found = (await desk.asks(stripe)).found
    told = sorted((d.name, d.movement or "", d.currency or "", d.amount or 0) for d in found)
    assert told == judge(pairs, had, NOW - GRACE)
    assert {name for name, *_ in told} == {"balance_drift", "unknown_category"}


async def test_one_that_is_missing_here_is_named_and_drifts(engine: AsyncEngine) -> None:
    desk = Desk(engine)
    await desk.has()
    outcome = await desk.asks(Account([moved()]))
    assert outcome.names == ["balance_drift"] * 2
    assert {(d.movement, d.amount, d.currency) for d in outcome.found} == {("txn_1", 1911, "usd"), (None, 1911, "usd")}
    (named,) = (d for d in outcome.found if d.movement)
    assert (named.ours, named.stripe and named.stripe["fee"]) == (None, 88)
    assert "compare movement txn_1" in named.next_step


async def test_one_that_stripe_denies_one_of_another_sum_and_one_of_another_currency(engine: AsyncEngine) -> None:
    desk, denied, other, abroad = Desk(engine), moved("txn_1"), moved("txn_2"), moved("txn_3")
    await desk.has(*(Pair(one, "booked", None) for one in (denied, other, abroad)))
    stripe = Account([replace(other, fee=90), replace(abroad, currency="eur")])
    by_movement = {d.movement: d.amount for d in (await desk.asks(stripe)).found if d.movement}
    assert by_movement == {"txn_1": 1911, "txn_2": 2, "txn_3": 1911}


async def test_a_balance_that_moves_is_no_proof_and_resolves_nothing(engine: AsyncEngine) -> None:
    desk, stripe = Desk(engine), Account([], usd=5)
    await desk.has()
    assert (await desk.asks(stripe)).only("balance_drift").amount == 5
    stripe.had, stripe.moves = {}, 100
    outcome = await desk.asks(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])
    assert "moved during each reading" in str(outcome.found[0].stripe)
    assert await desk.resolved() == [False]
    stripe.moves = 0
    assert (await desk.asks(stripe)).verdict == "clean"
    assert await desk.resolved() == [True]


async def test_before_the_books_are_opened_nothing_is_proven_and_nothing_resolved(engine: AsyncEngine) -> None:
    desk, stripe = Desk(engine), Account([], usd=5)
    await desk.has()
    await desk.asks(stripe)
    await rows(engine, "UPDATE instance SET balance_opened_at = NULL, created_at = now()")
    assert (await desk.asks(stripe)).verdict == "clean", "it was born a moment ago"
    assert await desk.resolved() == [False]
    await rows(engine, "UPDATE instance SET created_at = now() - interval '2 hours'")
    assert "not known yet" in str((await desk.asks(stripe)).only("source_incomplete").stripe)
    async with reconcile(engine, stripe, Span(), grace_s=600, rules=RULES, now=NOW) as report:
        assert report.verdict == "clean"
    assert await desk.resolved() == [False], "nobody asked for the balance"


async def test_a_listing_that_hides_a_movement_is_not_believed(engine: AsyncEngine) -> None:
    desk, stripe = Desk(engine), Account([moved()])
    await desk.has(Pair(moved(), "booked", None))
    stripe.hidden.add("txn_1")
    outcome = await desk.asks(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])
    stripe.hidden.clear()
    stripe.movements["txn_2"] = moved("txn_2", amount=88, category="x" * 300)
    assert "txn_2 cannot be compared" in str((await desk.asks(stripe)).only("source_incomplete").stripe)


async def test_one_that_differs_is_open_at_any_age_until_it_does_not(engine: AsyncEngine) -> None:
    desk, stripe = Desk(engine), Account([moved(amount=2000, fee=89)])
    await desk.has(Pair(moved(), "booked", None))
    first = (await desk.asks(stripe)).only("balance_drift")
    later = NOW + timedelta(days=60)
    again = (await desk.asks(stripe, now=later)).only("balance_drift")
    assert (again.fingerprint, again.movement, again.first_seen) == (first.fingerprint, "txn_1", NOW)
    stripe.movements = {"txn_1": moved()}
    assert (await desk.asks(stripe, now=later)).verdict == "clean"
    assert await desk.resolved() == [True]


async def test_an_acknowledged_drift_stays_so_while_the_balance_moves(engine: AsyncEngine) -> None:
    desk, stripe = Desk(engine), Account([], usd=-5)
    await desk.has()
    found = (await desk.asks(stripe)).only("balance_drift")
    assert (found.ours, found.stripe) == ({"more": 5}, {"more": 0})
    await acknowledge(engine, found.fingerprint, who=OPERATOR, reason="known")
    await desk.has(Pair(moved(), "booked", None))
    stripe.movements = {"txn_1": moved()}
    assert (await desk.asks(stripe)).verdict == "clean"
    stripe.had = {"usd": -6}
    assert (await desk.asks(stripe)).verdict == "discrepancies"


async def test_what_stands_in_suspense_is_named_once_and_until_it_is_booked(engine: AsyncEngine) -> None:
    """By the class of its payment where that is listed; else by its own."""
    long_ago, paid_past_us = moved("txn_1", NOW - 50 * HOUR, category="teleport"), moved("txn_2")
    desk, seen = Desk(engine), intent(OLD)
    await desk.has(Pair(long_ago, "suspense", None), why=UNKNOWN)
    await desk.has(Pair(paid_past_us, "suspense", None))
    assert seen.charge_id is not None
    await rows(engine, "UPDATE balance_transactions SET source = :charge WHERE id = 'txn_2'", charge=seen.charge_id)
    stripe = Account([long_ago, paid_past_us], [seen])
    outcome = await desk.asks(stripe)
    assert outcome.names == ["missing_locally", "unknown_category"]
    unknown = outcome.found[1]
    assert (unknown.movement, unknown.amount, unknown.ours and unknown.ours["why"]) == ("txn_1", 1911, UNKNOWN)
    assert (await desk.asks(stripe, Span(NOW - 48 * HOUR, NOW))).names == ["missing_locally"], "of its window"
    stripe.intents.clear()
    stripe.gone.add(seen.id)
    assert (await desk.asks(stripe)).names == ["unknown_category"] * 2, "no other class names it any more"
    await rows(engine, "UPDATE balance_transactions SET status = 'booked'")
    assert (await desk.asks(stripe)).verdict == "clean"
    assert await ledger.verify(engine) == []
