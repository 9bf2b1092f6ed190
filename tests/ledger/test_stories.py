"""What happens to the money of one order, from charge to failed refund: each story books what its golden file says.

A story's objects are Stripe's, so Stripe's own balance at its end is known without the books: they must agree.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.ledger import JournalEntry
from service.stripe_gateway.objects import BalanceTransaction, Intent, Refund
from tests.ledger.support import ALICE, BOB, NOON, book
from tests.meta.stripe_names import fields, sdk

Json = dict[str, Any]
STORIES = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "stories").glob("*.json"))
}
STRIPE = "assets:stripe:balance"


def refund_of(said: Json, **changes: Any) -> Refund:
    return msgspec.convert({**said, **changes}, Refund)


def booked(step: Json, account_id: UUID = ALICE) -> list[JournalEntry]:
    """All entries that are to be on the books of what Stripe shows in this step."""
    order: Json = {"account_id": account_id, "order_id": account_id}
    if "refund" in step:
        return list(
            ledger.refund_entries(
                **order,
                refund=refund_of(step["refund"]),
                drawn_minor=step["drawn_minor"],
                of_duplicate=step.get("of_duplicate", False),
            )
        )
    order["payment_intent_id"] = step.get("payment_intent", {}).get("id", "pi_1")
    if "balance_transaction" in step:
        movement = msgspec.convert(step["balance_transaction"], BalanceTransaction)
        fee = ledger.fee_entry(
            **order,
            balance_transaction_id=movement.id,
            fee_minor=movement.fee,
            currency=movement.currency,
            occurred_at=datetime.fromtimestamp(movement.created, UTC),
        )
        return [fee] if fee else []
    intent = msgspec.convert(step["payment_intent"], Intent)
    if not intent.amount_received:
        return []
    assert intent.charge_id is not None
    assert intent.charged_at is not None
    make = ledger.duplicate_entry if step.get("of_duplicate") else ledger.charge_entry
    charge = make(
        **order,
        stripe_charge_id=intent.charge_id,
        amount_minor=intent.amount_received,
        currency=intent.currency,
        occurred_at=datetime.fromtimestamp(intent.charged_at, UTC),
    )
    return [charge]


@pytest.mark.parametrize("name", STORIES)
def test_each_story_books_what_its_golden_file_says(name: str) -> None:
    seen: set[str] = set()
    for step in STORIES[name]["steps"]:
        fresh = [entry for entry in booked(step) if entry.reference not in seen]
        assert [_shown(entry) for entry in fresh] == step["books"], step["what"]
        seen |= {entry.reference for entry in fresh}


@pytest.mark.parametrize("name", STORIES)
def test_at_the_end_the_books_say_what_stripe_says(name: str) -> None:
    story = STORIES[name]
    totals = _totals(story)
    assert _in_normal_sign(totals) == {(c, cur): n for c, row in story["after"].items() for cur, n in row.items()}
    held = Counter[str]()
    for movement in {m["id"]: m for m in _movements(story["steps"])}.values():
        held[movement["currency"]] += movement["net"]
    if "settled_in" in story:  # its exchange is not booked yet
        assert set(held) == {story["settled_in"]}
        assert not any(currency in held for _, currency in totals)
    else:
        assert dict(held) == {currency: n for (code, currency), n in totals.items() if code == STRIPE}


async def test_told_twice_and_in_any_order_each_story_is_booked_once(engine: AsyncEngine) -> None:
    """R38: what Stripe shows is booked by what it says, however often, late or early it is seen."""
    for n, story in enumerate(STORIES.values()):
        account_id = UUID(int=n + 1)
        for step in [*story["steps"], *reversed(story["steps"])]:
            result = await book(engine, *booked(step, account_id))
            assert result.conflicting == ()
        after = await ledger.balances(engine, account_id)
        found = {(row["account"], row["currency"]): row["balance"] for row in after if row["balance"]}
        assert found == {(c, cur): n for c, row in story["after"].items() for cur, n in row.items()}, story["title"]
    # The stories have no rows of refunds that could be owed.
    assert {found.name for found in await ledger.verify(engine)} <= {"payable_differs"}


def test_the_stories_show_every_rule_of_a_refund() -> None:
    kinds = {entry["kind"] for story in STORIES.values() for step in story["steps"] for entry in step["books"]}
    assert kinds == {
        *("charge", "duplicate", "fee", "refund_pending", "refund", "refund_failed"),
        *("refund_duplicate", "refund_duplicate_failed"),
    }


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
    }


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


def _movements(said: Any) -> Iterator[Json]:
    """The balance transactions in it, however deep."""
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        if isinstance(value, dict) and str(value.get("id")).startswith("txn_"):
            yield value
        yield from _movements(value)


_CLASSES = {"pi": "PaymentIntent", "ch": "Charge", "txn": "BalanceTransaction", "re": "Refund"}
_WORDS = ("status", "type", "capture_method", "pending_reason", "failure_reason")


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
