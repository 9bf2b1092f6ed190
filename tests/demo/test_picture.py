"""The closing of a run, drawn: complete, readable, and with nothing fetched from anywhere."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from demo import picture
from demo.plan import RATES, Plan
from demo.rates import Measured
from demo.score import Score
from demo.summary import Result, as_json


def perfect() -> Score:
    score = Score(orders=960, charges=960, lost=0, unsettled=0, off_books=0, ledger_off=0)
    return replace(score, refunds_wanted=320, refunds=320, refunds_lost=0, refunds_off_books=0)


@pytest.fixture
def result() -> Result:
    sums = {"count": 960, "gross": 1_996_800, "fees": 86_707, "refunded": 160_000, "net": 1_750_093}
    totals = {"usd": dict.fromkeys(("ours", "ledger", "stripe"), sums)}
    naive = [
        Measured(rate=r, orders=960, duplicates=int(1000 * r), twice=int(1000 * r), lost=0, cpu_ms=2.5, took_s=2.0)
        for r in RATES
    ]
    ours = [
        Measured(rate=r, orders=960, duplicates=int(1000 * r), twice=0, lost=0, cpu_ms=3.5, took_s=2.0) for r in RATES
    ]
    return Result(
        plan=Plan.of(seed=1, orders=None, minutes=2.0, quick=False),
        took_s=100.0,
        naive=Score(
            has_no_guards=True,
            orders=960,
            charges=1020,
            twice=90,
            overcharged=180_000,
            lost=30,
            refunded_twice=41,
            refunds_lost=2,
        ),
        ours=perfect(),
        reconciliation={"verdict": "clean", "totals": totals, "discrepancies": []},
        naive_rates=naive,
        our_rates=ours,
    )


def test_the_picture_names_no_other_host(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "demo.svg"
    picture.write(path, result, ["", "   1.0 s  killed worker 2 after Stripe moved the money, before it was recorded"])
    svg = path.read_text()
    assert set(re.findall(r"https?://[\w.]+", svg)) == {"http://www.w3.org"}
    assert "@font-face" not in svg
    words = re.sub(r"<[^>]+>", "", svg).replace("&#160;", " ")
    for shown in ("after Stripe moved the money", "90 orders charged twice", "41 refunded twice", "is clean", "0.01 %"):
        assert shown in words


def test_what_ten_million_a_day_would_be_is_projected_from_the_share_that_was_measured(result: Result) -> None:
    assert [result.projected(rate) for rate in RATES] == [0, 1_000, 500_000, 1_500_000]
    rates = as_json(result)["rates"]
    assert rates[1]["projected_naive_twice_per_10m_orders"] == 1_000
    assert rates[1]["naive"]["twice"] == 0  # measured


@pytest.mark.parametrize(
    "broken",
    [
        {"twice": 1},
        {"lost": 1},
        {"unsettled": 1},
        {"off_books": -1},
        {"refunded_twice": 1},
        {"over_refunded": 1},
        {"refunds_lost": 1},
        {"refunds_lost": None},
        {"refunds_off_books": -1},
        {"refunds_off_books": None},
        {"ledger_off": 1},
        {"lost": None},
    ],
    ids=str,
)
def test_anything_lost_twice_or_unknown_is_not_ok(result: Result, broken: dict[str, int | None]) -> None:
    assert result.ok
    for name, value in broken.items():
        setattr(result.ours, name, value)
    assert not result.ok


def test_an_incomplete_reconciliation_is_not_ok(result: Result) -> None:
    result.reconciliation["verdict"] = "incomplete"
    assert not result.ok
