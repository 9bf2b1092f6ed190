"""The three formats of one report, to the byte."""

import csv
import io
import json
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.reconcile import Span, reconcile
from service.reconcile.classes import CLASSES, next_step
from service.reconcile.report import FORMATS, show
from tests.reconcile.conftest import NOW, RULES
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.refund_stories import give_back, made_refund
from tests.reconcile.world import HOUR, intent, paid

pytestmark = pytest.mark.slow

OLD = NOW - 3 * HOUR
ORDER = UUID(int=7)
PLANTED, WRONG = "0123456789ab", "ba9876543210"  # in place of fingerprints, which name the account


@pytest.fixture
async def stripe(engine: AsyncEngine, account: UUID) -> FakeStripe:
    """One good payment, one of another amount, one planted."""
    wrong = paid(account, OLD - HOUR)
    wrong.order.id, wrong.entries = ORDER, []
    wrong.charge.charge, wrong.charge.txn = "ch_wrong", "txn_wrong"
    wrong.charge.pi = wrong.order.pi = "pi_wrong"
    good = paid(account, OLD, 50_00)
    wrong_intent = replace(wrong.intent, id="pi_wrong", amount=20_99, metadata={}, latest_charge="ch_wrong")
    wrong.charge.status, wrong.order.status = "declined", "failed"
    wrong.intents = [replace(wrong_intent, status="requires_payment_method", amount_received=0)]
    planted = replace(intent(OLD, 500, "jpy"), id="pi_planted", latest_charge="ch_planted")
    shown = await write(engine, [good, wrong])
    return FakeStripe([*shown.intents.values(), planted])


async def _render(engine: AsyncEngine, stripe: FakeStripe, form: str) -> str:
    async with reconcile(engine, stripe, Span(), grace_s=600, rules=RULES, now=NOW) as report:
        return "".join([piece async for piece in FORMATS[form](report)])


async def test_json_is_one_document_with_stable_keys(engine: AsyncEngine, stripe: FakeStripe) -> None:
    document = json.loads(await _render(engine, stripe, "json"))
    found = document.pop("discrepancies")
    assert document.pop("balance") == {}, "the proof of the balance was not asked for"
    sides = {"count": 1, "gross": 5000, "refunds": 0, "refunded": 0, "fees": 88, "net": 4912}
    assert document == {
        "schema_version": 1,
        "verdict": "discrepancies",
        "window": {"since": "2026-11-18T12:00:01Z", "until": "2026-11-20T12:00:01Z", "cut_off": "2026-11-20T11:50:00Z"},
        "totals": {
            "jpy": {
                "ours": dict.fromkeys(sides, 0),
                "ledger": dict.fromkeys(sides, 0),
                "stripe": dict.fromkeys(sides, 0) | {"count": 1, "gross": 500, "net": 500},
            },
            "usd": {"ours": sides, "ledger": sides, "stripe": sides},
        },
        "money_at_stake": {"jpy": 500, "usd": 100},
        "owed": {},
        "coverage": {
            "payment_intents": 3,
            "charges": 2,
            "matched": 2,
            "refunds": 0,
            "refunds_matched": 0,
            "edges": 0,
        },
    }
    assert [(d["class"], d["payment_intent"], d["order_id"]) for d in found] == [
        ("missing_locally", "pi_planted", None),
        ("amount_mismatch", "pi_wrong", str(ORDER)),
    ]
    assert {k: found[1][k] for k in ("amount", "currency", "age_s", "first_seen")} == {
        "amount": 100,
        "currency": "usd",
        "age_s": 4 * 3600,
        "first_seen": "2026-11-20T12:00:00Z",
    }
    assert found[1]["ours"] == {"order": "failed", "charge": "declined", "amount": 1999, "currency": "usd"}
    assert (found[1]["stripe"]["status"], found[1]["stripe"]["amount"]) == ("requires_payment_method", 2099)


async def test_the_same_run_gives_the_same_bytes(engine: AsyncEngine, stripe: FakeStripe) -> None:
    for form in FORMATS:
        assert await _render(engine, stripe, form) == await _render(engine, stripe, form)


async def test_a_clean_document_has_no_discrepancies(engine: AsyncEngine) -> None:
    document = json.loads(await _render(engine, FakeStripe([]), "json"))
    assert (document["verdict"], document["discrepancies"], document["totals"]) == ("clean", [], {})


async def test_csv_has_one_line_per_discrepancy(engine: AsyncEngine, stripe: FakeStripe) -> None:
    rows = list(csv.DictReader(io.StringIO(await _render(engine, stripe, "csv"))))
    assert [(r["class"], r["payment_intent"], r["amount"], r["currency"]) for r in rows] == [
        ("missing_locally", "pi_planted", "500", "jpy"),
        ("amount_mismatch", "pi_wrong", "100", "usd"),
    ]
    assert json.loads(rows[1]["ours"])["charge"] == "declined"
    assert rows[0]["ours"] == ""


async def test_the_table_reads_from_top_to_bottom(engine: AsyncEngine, stripe: FakeStripe) -> None:
    shown = await _render(engine, stripe, "table")
    names = json.loads(await _render(engine, stripe, "json"))["discrepancies"]
    for found, name in zip(names, (PLANTED, WRONG), strict=True):
        shown = shown.replace(found["fingerprint"][:12], name)
    assert shown == _TABLE


_TABLE = f"""\
window    2026-11-18T12:00:01Z to 2026-11-20T12:00:01Z, by Stripe's created; in flight: after 2026-11-20T11:50:00Z

                       count             gross  refunds          refunded            fees               net
jpy       ours             0                 0        0                 0               0                 0
jpy       ledger           0                 0        0                 0               0                 0
jpy       stripe           1               500        0                 0               0               500

usd       ours             1             50.00        0              0.00            0.88             49.12
usd       ledger           1             50.00        0              0.00            0.88             49.12
usd       stripe           1             50.00        0              0.00            0.88             49.12

verdict   2 discrepancies, 500 jpy, 1.00 usd at stake
coverage  2 pairs of 3 PaymentIntents and 2 charges; 0 of 0 refunds; 0 more from beyond the window's edges

missing_locally: 1, 500 jpy, oldest 3h 0m
  order -  pi_planted  500 jpy  3h 0m
    ours    nothing
    stripe  amount=500 charge=ch_planted status=succeeded currency=jpy received=500
    next    {next_step("missing_locally", "pi_planted", PLANTED)}  ({PLANTED})

amount_mismatch: 1, 1.00 usd, oldest 4h 0m
  order {ORDER}  pi_wrong  1.00 usd  4h 0m
    ours    order=failed amount=1999 charge=declined currency=usd
    stripe  amount=2099 charge=ch_wrong status=requires_payment_method currency=usd received=0
    next    {next_step("amount_mismatch", "pi_wrong", WRONG)}  ({WRONG})
"""


async def test_refunds_and_what_is_owed_are_told_in_every_format(engine: AsyncEngine, account: UUID) -> None:
    story = paid(account, OLD)
    give_back(story, OLD, 300)
    give_back(story, OLD, 400, status="failed")
    past_us = made_refund(story, OLD, 50)
    stripe = await write(engine, [story])
    document = json.loads(await _render(engine, stripe, "json"))
    assert {side: (s["refunds"], s["refunded"], s["net"]) for side, s in document["totals"]["usd"].items()} == {
        "ours": (1, 300, 1611),
        "ledger": (1, 300, 1611),
        "stripe": (2, 350, 1561),
    }
    assert (document["owed"], document["money_at_stake"]) == ({"usd": 400}, {"usd": 50})
    assert [(d["class"], d["refund"]) for d in document["discrepancies"]] == [
        ("refund_missing_locally", past_us.id),
        ("owed", None),
    ]
    table = await _render(engine, stripe, "table")
    assert (
        "usd       stripe           1             19.99        2              3.50            0.88             15.61"
        in table
    )
    assert "verdict   1 discrepancy, 0.50 usd at stake; 4.00 usd owed to customers\n" in table
    assert f"{story.intent.id}  {past_us.id}  0.50 usd" in table
    rows = list(csv.DictReader(io.StringIO(await _render(engine, stripe, "csv"))))
    assert [row["refund"] for row in rows] == [past_us.id, ""]


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1999, "usd", "19.99"),
        (-5, "usd", "-0.05"),
        (1999, "jpy", "1999"),
        (1990, "kwd", "1.990"),
        (7, "xxx", "7"),
    ],
)
def test_amounts_are_shown_as_people_write_them(amount: int, currency: str, shown: str) -> None:
    assert show(amount, currency) == shown


def test_every_class_has_one_line_of_advice() -> None:
    for name, (means, step) in CLASSES.items():
        assert means
        assert step
        assert "{" not in next_step(name, None, "0123456789abcdef")
        assert "\n" not in next_step(name, "pi_1", "0123456789abcdef")
