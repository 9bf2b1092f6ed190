"""What happens to the money, from a charge to a lost dispute: each story books what its golden file says.

A story's objects are Stripe's, so Stripe's own balance at its end is known without the books: they must agree.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.ledger import JournalEntry, Money, journal
from service.ledger import entry as shape
from service.ledger.journal import (
    CHARGE,
    DISPUTE,
    DUPLICATE,
    PAYOUT,
    PAYOUT_FAILED,
    REDATED,
    REFUND,
    REFUND_DUPLICATE,
    REFUND_DUPLICATE_FAILED,
    REFUND_FAILED,
)
from service.ledger.movements import BY_CATEGORY, BY_TYPE
from tests.ledger.story_rules import Json, booked, movement, refund_of
from tests.ledger.support import ALICE, BOB, NOON, book
from tests.meta.stripe_names import fields, sdk

STORIES = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "stories").glob("*.json"))
}
# Each balance of Stripe's, and the account that mirrors it.
MIRRORS = {
    "payments": "assets:stripe:balance",
    "risk_reserved": "assets:stripe:reserve",
    "issuing": "assets:stripe:elsewhere",
}


@pytest.mark.parametrize("name", STORIES)
def test_each_story_books_what_its_golden_file_says(name: str) -> None:
    seen: dict[str, JournalEntry] = {}
    for step in STORIES[name]["steps"]:
        fresh = {e.reference: e for e in booked(step, ALICE, seen) if e.reference not in seen}
        assert [_shown(entry) for entry in fresh.values()] == step["books"], step["what"]
        seen |= fresh


@pytest.mark.parametrize("name", STORIES)
def test_at_the_end_the_books_say_what_stripe_says(name: str) -> None:
    story = STORIES[name]
    totals = _totals(story)
    assert _in_normal_sign(totals) == {(c, cur): n for c, row in story["after"].items() for cur, n in row.items()}
    held = Counter[tuple[str, str]]()
    for moved in _movements(story):
        held[MIRRORS[moved.get("balance_type", "payments")], moved["currency"]] += moved["net"]
    assert +held == +Counter({key: n for key, n in totals.items() if key[0] in MIRRORS.values()})
    assert -held == -Counter({key: n for key, n in totals.items() if key[0] in MIRRORS.values()})


@pytest.mark.parametrize("name", STORIES)
def test_every_movement_of_stripes_balance_is_booked_by_its_net(name: str) -> None:
    """Of each balance transaction alone, not only of all together."""
    entries = [entry for step in STORIES[name]["steps"] for entry in step["books"]]
    for moved in _movements(STORIES[name]):
        account = MIRRORS[moved.get("balance_type", "payments")]
        legs = [
            n
            for e in entries
            if _is_of(e["reference"].removeprefix("settled:"), moved)
            for code, currency, n in e["postings"]
            if (code, currency) == (account, moved["currency"])
        ]
        if account != MIRRORS["risk_reserved"]:  # that money's entry is the other
            assert sum(legs) == moved["net"], moved["id"]


def _is_of(reference: str, moved: Json) -> bool:
    """Whether the entry books this movement; by names that are spelled here once more on purpose."""
    if reference.endswith(f":{moved['id']}"):
        return True
    kinds = {
        "charge": (CHARGE, DUPLICATE),
        "refund": (REFUND, REFUND_DUPLICATE),
        "refund_failure": (REFUND_FAILED, REFUND_DUPLICATE_FAILED),
        "payout": (PAYOUT,),
        "payout_reversal": (PAYOUT_FAILED,),
    }.get(ledger.movement_of(movement(moved)) or "", ())
    return reference in [f"{kind}:{moved['source']}" for kind in kinds]


async def test_told_twice_and_in_any_order_each_story_is_booked_once(engine: AsyncEngine) -> None:
    """R38: what Stripe shows is booked by what it says, however often, late or early it is seen."""
    for n, story in enumerate(STORIES.values()):
        account_id = UUID(int=n + 1)
        seen: dict[str, JournalEntry] = {}
        for step in [*story["steps"], *reversed(story["steps"])]:
            entries = booked(step, account_id, seen)
            result = await book(engine, *entries)
            assert result.conflicting == ()
            seen |= {entry.reference: entry for entry in entries}
        after = await ledger.balances(engine, account_id)
        found = {(row["account"], row["currency"]): row["balance"] for row in after if row["balance"]}
        assert found == {(c, cur): n for c, row in story["after"].items() for cur, n in row.items()}, story["title"]
    # The stories have no rows of refunds that could be owed.
    assert {found.name for found in await ledger.verify(engine)} <= {"payable_differs"}


def test_the_stories_show_every_rule() -> None:
    kinds = {booking["kind"] for story in STORIES.values() for step in story["steps"] for booking in step["books"]}
    own = {word for name, word in vars(journal).items() if name.isupper() and name not in vars(shape)}
    assert kinds == own - {DISPUTE, REDATED}


def test_the_words_of_the_rules_are_stripes() -> None:
    assert _words(fields("ReportRunCreateParams.ReportRunCreateParamsParameters")["reporting_category"]) >= set(
        BY_CATEGORY
    )
    assert _words(fields("BalanceTransaction")["type"]) >= set(BY_TYPE)


def test_a_category_decides_and_a_type_is_only_a_hint() -> None:
    said = {"id": "txn_1", "amount": 1, "fee": 0, "net": 1, "currency": "usd", "created": 0, "source": None}
    both = movement({**said, "type": "refund", "reporting_category": "partial_capture_reversal"})
    assert ledger.movement_of(both) == "partial_capture_reversal"
    assert ledger.movement_of(movement({**said, "type": "payment_failure_refund"})) == "charge_failure"
    assert ledger.movement_of(movement({**said, "type": "charge", "reporting_category": "brand_new"})) is None
    assert ledger.movement_of(movement({**said, "type": "adjustment"})) is None


@pytest.mark.parametrize("made", [ledger.stripe_fee_entry, ledger.reserve_entry, ledger.suspense_entry])
def test_a_movement_of_nothing_books_nothing(made: Callable[..., JournalEntry | None]) -> None:
    said = {"id": "txn_1", "amount": 0, "fee": 0, "net": 0, "currency": "usd", "created": 0, "type": "stripe_fee"}
    assert made(transaction=movement(said), account_id=ALICE, order_id=None, payment_intent_id=None) is None


def test_a_movement_whose_net_is_not_its_amount_less_its_fee_cannot_be_booked() -> None:
    said = {"id": "txn_1", "amount": 100, "fee": 3, "net": 98, "currency": "usd", "created": 0, "type": "stripe_fee"}
    with pytest.raises(ValueError, match="balance"):
        ledger.stripe_fee_entry(transaction=movement(said), account_id=ALICE, order_id=None, payment_intent_id=None)


@pytest.mark.parametrize("paid", [Money(9680, "eur"), Money(9681, "usd"), Money(-9680, "usd")])
def test_a_payout_in_another_currency_or_sum_is_refused(paid: Money) -> None:
    (step, *_) = [s for s in STORIES["23_payout"]["steps"] if "payout" in s]
    with pytest.raises(ValueError, match="payout:po_1"):
        ledger.payout_entry(
            account_id=ALICE,
            payout_id="po_1",
            paid=paid,
            transaction=movement(step["payout"]["balance_transaction"]),
        )


@pytest.mark.parametrize("name", STORIES)
def test_the_objects_of_a_story_are_stripes(name: str) -> None:
    """Every field and every word in them is in the types of the installed SDK."""
    assert list(_unknown(STORIES[name]["steps"])) == []


def test_what_stripe_moved_must_be_the_refunds_amount() -> None:
    (step,) = [s for s in STORIES["05_refund_at_once"]["steps"] if "refund" in s]
    movement = step["refund"]["balance_transaction"]
    for wrong in (movement | {"amount": -3999}, movement | {"amount": 4000}, "txn_2"):
        with pytest.raises(ValueError, match="re_1"):
            ledger.refund_entries(
                account_id=ALICE,
                order_id=BOB,
                refund=refund_of(step["refund"], balance_transaction=wrong),
                drawn_minor=0,
                of_duplicate=False,
            )


@pytest.mark.parametrize("drawn_minor", [-1, 4001])
def test_no_more_than_the_refund_is_drawn_from_what_is_owed(drawn_minor: int) -> None:
    with pytest.raises(ValueError, match="re_1"):
        ledger.refund_pending_entry(
            account_id=ALICE,
            order_id=BOB,
            payment_intent_id="pi_1",
            stripe_refund_id="re_1",
            amount_minor=4000,
            currency="usd",
            occurred_at=NOON,
            drawn_minor=drawn_minor,
        )


def _shown(entry: JournalEntry) -> Json:
    return {
        "reference": entry.reference,
        "kind": entry.kind,
        "occurred_at": int(entry.occurred_at.timestamp()),
        "postings": [[p.code, p.currency, p.amount_minor] for p in entry.postings],
    } | ({} if entry.customer is None else {"customer": [entry.customer.minor, entry.customer.currency]})


def _totals(story: Json) -> Counter[tuple[str, str]]:
    """What the golden file books, summed up by account and currency; debit > 0."""
    totals = Counter[tuple[str, str]]()
    for step in story["steps"]:
        for entry in step["books"]:
            for code, currency, amount in entry["postings"]:
                totals[code, currency] += amount
    return totals


def _in_normal_sign(totals: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    debit = ("assets:", "expenses:", "contra:")
    return {key: n if key[0].startswith(debit) else -n for key, n in totals.items() if n}


def _movements(story: Json) -> list[Json]:
    """Every balance transaction of the story, once."""
    return list({moved["id"]: moved for moved in _each_movement(story["steps"])}.values())


def _each_movement(said: Any) -> Iterator[Json]:
    """The balance transactions in it, however deep."""
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        if isinstance(value, dict) and str(value.get("id")).startswith("txn_"):
            yield value
        yield from _each_movement(value)


_CLASSES = {
    "pi": "PaymentIntent",
    "ch": "Charge",
    "txn": "BalanceTransaction",
    "re": "Refund",
    "dp": "Dispute",
    "po": "Payout",
}
_WORDS = (
    *("status", "type", "capture_method", "pending_reason", "failure_reason"),
    *("reason", "method", "balance_type"),
)


def _words(annotation: str) -> set[str]:
    return set(re.findall(r"'(\w+)'", annotation))


def _unknown(said: Any) -> Iterator[str]:
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        if isinstance(value, dict) and "id" in value:
            name = _CLASSES[value["id"].partition("_")[0]]
            yield from (f"{name}.{field}" for field in value if field not in fields(name))
            told = (sdk() / f"_{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}.py").read_text()
            for field in _WORDS:
                if value.get(field) and not re.search(rf"[\"`]{value[field]}[\"`]", told):
                    yield f"{name}.{field}: {value[field]}"
        yield from _unknown(value)
