"""The verdict is green only where all is proven; whatever speaks against it is named, with the page that shows more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from service.console.money_now import Money
from service.console.verdict import PROVEN_FOR, judge
from service.reconcile.balance import Proof
from service.reconcile.compare import Comparison, Sums
from service.reconcile.head import Head
from service.reconcile.window import Window

NOW = datetime(2026, 11, 28, 10, 41, tzinfo=UTC)


def record(**values: int) -> Any:
    """What a statement would answer."""
    return SimpleNamespace(**values)


NOTHING_OPEN = {"discrepancies": 0, "acknowledged": 0, "parked": 0, "suspense": 0, "notices": 0}
SOME_NEWER = {"placed": 40, "paid": 37, "charged": 37, "booked": 37}


def head(**changes: Any) -> Head:
    """The report of a clean run a minute ago, over 1,204 payments."""
    moment = NOW - timedelta(minutes=1)
    sides = {side: Sums(count=1_204, gross=1_204_00) for side in ("ours", "ledger", "stripe")}
    found = Head(
        run_id=UUID(int=1),
        window=Window(moment - timedelta(hours=48), moment, moment, moment),
        verdict="clean",
        comparison=Comparison({"usd": sides}, {}),
        classes=(),
        incomplete=None,
        proofs=(Proof(currency="usd", closing=5_000, ledger=5_000),),
    )
    return replace(found, **changes)


def money(
    proof: Head | None, open_: dict[str, int] | None = None, newer: dict[str, int] | None = None, **unbalanced: int
) -> Money:
    """What is known."""
    found = record(**NOTHING_OPEN | (open_ or {}))
    return Money(proof, found, record(**SOME_NEWER | (newer or {})), unbalanced, NOW)


def test_it_is_green_and_says_the_numbers_where_all_is_proven() -> None:
    verdict = judge(money(head()))
    assert (verdict.tone, verdict.open) == ("good", ())
    assert verdict.headline == (
        "1,204 paid = 1,204 charged at Stripe = 1,204 in the ledger; Stripe's balance agrees to the cent."
    )
    assert verdict.known[0].says == "Since then 40 were placed: 37 of them are paid, 37 in the ledger."


SHORT = Comparison(
    {"usd": {"ours": Sums(count=3), "ledger": Sums(count=3), "stripe": Sums(count=2)}},
    {},
)
APART = (Proof(currency="usd", closing=5_000, ledger=4_999),)


@pytest.mark.parametrize(
    ("known", "tone", "says"),
    [
        (money(None), "look", "`eo reconcile` compares our books"),
        (money(head(incomplete="a page was missing")), "look", "a page was missing"),
        (money(head(proofs=())), "look", "did not compare Stripe's balance"),
        (money(head(proofs=(Proof(currency="usd"),))), "look", "did not compare Stripe's balance"),
        (money(head(proofs=APART)), "bad", "Stripe's balance and the ledger differ"),
        (money(head(), {"discrepancies": 1}), "bad", "1 discrepancy is open"),
        (money(head(), {"discrepancies": 1_001}), "bad", "More than 1,000 discrepancies are open"),
        (money(head(), usd=-5), "bad", "out of balance by -0.05 usd"),
        (money(head(), newer={"booked": 36}), "bad", "37 are paid, 37 have a charge, 36 are in the ledger"),
        (money(head(), newer={"charged": 38}), "bad", "38 have a charge"),
        (money(head(), {"parked": 2}), "look", "2 promises are parked"),
        (money(head(), {"suspense": 1}), "look", "1 movement of Stripe's balance is in suspense"),
        (money(head(), {"notices": 3}), "look", "3 notices to producers are given up"),
        (money(head(comparison=SHORT)), "bad", "counts differ"),
    ],
)
def test_whatever_speaks_against_it_is_named(known: Money, tone: str, says: str) -> None:
    verdict = judge(known)
    assert verdict.tone == tone
    assert any(says in line.says and line.href.startswith("/console/") for line in verdict.open), verdict.open


def test_an_old_proof_is_none() -> None:
    late = replace(money(head()), now=NOW + PROVEN_FOR)
    assert judge(late).tone == "look"
    assert judge(replace(late, now=NOW + PROVEN_FOR - timedelta(minutes=2))).tone == "good"


def test_numbers_that_differ_are_not_called_equal() -> None:
    verdict = judge(money(head(comparison=SHORT)))
    assert verdict.headline.startswith("3 paid ≠ 2 charged at Stripe ≠ 3 in the ledger")
    assert "by our own books; Stripe was not asked yet" in judge(money(None)).headline
