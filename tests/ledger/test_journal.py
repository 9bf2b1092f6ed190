"""The pure rules: each event books what its golden file says, and equal content has equal digests."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service import ledger
from service.ledger import JournalEntry, Money, Posting
from tests.ledger.support import ALICE, BOB, NOON, charged


def _reversal(**event: Any) -> JournalEntry:
    return ledger.reversal_entry(ledger.charge_entry(**event))


def _redated(*, redated_to: int, **event: Any) -> JournalEntry:
    return ledger.redated_entry(ledger.charge_entry(**event), datetime.fromtimestamp(redated_to, UTC))


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
RULES: dict[str, Callable[..., JournalEntry | None]] = {
    "charge": ledger.charge_entry,
    "duplicate": ledger.duplicate_entry,
    "fee": ledger.fee_entry,
    "reversal": _reversal,
    "redated": _redated,
}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_each_event_books_what_its_golden_file_says(path: Path) -> None:
    case = json.loads(path.read_text())
    entry = RULES[case["rule"]](**_event(case["event"]))
    shown = _shown(entry)
    if shown is not None and "occurred_at" not in case["entry"]:
        assert shown.pop("occurred_at") == case["event"]["occurred_at"]
    assert shown == case["entry"]


def test_every_rule_has_a_golden_file() -> None:
    assert {json.loads(path.read_text())["rule"] for path in GOLDEN} == set(RULES)


def test_the_digest_changes_with_every_part_of_the_content() -> None:
    entry = charged("a")
    others = [
        replace(entry, account_id=BOB),
        replace(entry, reference="charge:ch_b"),
        replace(entry, kind="duplicate"),
        replace(entry, order_id=ALICE),
        replace(entry, payment_intent_id=None),
        replace(entry, payment_intent_id=""),
        replace(entry, occurred_at=NOON + timedelta(microseconds=1)),
        charged("a", 2000),
        charged("a", currency="eur"),
        replace(entry, postings=(entry.postings[0], replace(entry.postings[1], code="suspense:stripe"))),
        replace(entry, customer=Money(1999, "usd")),
        replace(entry, customer=Money(1998, "usd")),
        replace(entry, customer=Money(1999, "eur")),
    ]
    assert len({e.digest for e in (entry, *others)}) == len(others) + 1


def test_the_digest_does_not_depend_on_the_order_of_postings_or_the_time_zone() -> None:
    entry = charged("a")
    abroad = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert replace(entry, postings=entry.postings[::-1]).digest == entry.digest
    assert replace(entry, occurred_at=abroad).digest == entry.digest


def test_parts_cannot_borrow_bytes_from_their_neighbours() -> None:
    entry = charged("a")
    moved = replace(entry, reference="charge:ch_ac", kind="harge")
    assert moved.digest != replace(entry, reference="charge:ch_a", kind="charge").digest


def test_the_digest_is_versioned_and_never_changes_by_accident() -> None:
    entry = charged("golden", 1999, order_id=BOB)
    assert entry.digest.hex() == "0157c820d83331f204bebd6c595dc745f3006b4227bb7200aeff3e094909df9907"
    exchanged = replace(entry, customer=Money(1842, "eur"))
    assert exchanged.digest.hex() == "02b64ca26b4614a7cfa24d3923f296d4b23591e3b0d776cfd6e5831c83a6098c06"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"postings": (Posting("revenue:orders", "usd", 1),)}, "fewer than two"),
        ({"postings": ()}, "fewer than two"),
        ({"postings": (Posting("revenue:orders", "usd", 1), Posting("revenue:orders", "eur", -1))}, "balance"),
        ({"postings": (Posting("revenue:orders", "usd", 0),) * 2}, "zero"),
        ({"postings": (Posting("revenue", "usd", 1), Posting("revenue:orders", "usd", -1))}, "chart"),
        ({"occurred_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
    ],
)
def test_an_entry_that_could_never_be_booked_cannot_be_made(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replace(charged("a"), **changes)


def _event(event: dict[str, Any]) -> dict[str, Any]:
    return {
        **event,
        "account_id": UUID(event["account_id"]),
        "order_id": UUID(event["order_id"]),
        "occurred_at": datetime.fromtimestamp(event["occurred_at"], UTC),
    }


def _shown(entry: JournalEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "reference": entry.reference,
        "kind": entry.kind,
        "occurred_at": int(entry.occurred_at.timestamp()),
        "postings": [[p.code, p.currency, p.amount_minor] for p in entry.postings],
    }
