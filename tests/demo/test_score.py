"""What is counted for a contender is what the stand-in's books say, and not what the contender believes."""

from typing import Any

from demo.score import Books, Score


def order(name: str, *, charged: int = 0, refunds: int = 0, refunded: int = 0) -> dict[str, Any]:
    amounts = {"usd": charged} if charged else {}
    return {
        "order": name,
        "charges": int(charged > 0),
        "amounts": amounts,
        "refunds": refunds,
        "refunded": {"usd": refunded},
    }


def truth(*orders: dict[str, Any]) -> dict[str, Any]:
    charged = sum(sum(entry["amounts"].values()) for entry in orders)
    refunded = sum(sum(entry["refunded"].values()) for entry in orders)
    totals = {"requests": {"POST": 7}, "amounts": {"usd": charged}, "refunded": {"usd": refunded}}
    return {"totals": totals, "orders": list(orders)}


def test_a_refund_is_counted_as_twice_as_lost_and_as_too_much() -> None:
    score = Score()
    accepted = {"once": 1000, "twice": 1000, "lost": 1000, "kept": 1000}
    books = Books(paid=4, charged=4000, refunded=750, ledger_off=0)
    seen = truth(
        order("once", charged=1000, refunds=1, refunded=250),
        order("twice", charged=1000, refunds=2, refunded=500),
        order("lost", charged=1000),
        order("kept", charged=1000),
    )
    score.close(accepted, {"once": 250, "twice": 250, "lost": 250}, seen, books)
    assert (score.refunds_wanted, score.refunds) == (3, 3)
    assert (score.refunded_twice, score.over_refunded, score.refunds_lost) == (1, 250, 1)
    assert score.refunds_off_books == 0  # twice and lost cancel out in the sum
    assert not score.is_perfect


def test_money_that_went_back_unasked_is_too_much() -> None:
    score = Score()
    score.read({"kept": 1000}, {}, truth(order("kept", charged=1000, refunds=1, refunded=1)))
    assert (score.refunded_twice, score.over_refunded) == (0, 1)


def test_all_charged_and_refunded_once_is_perfect() -> None:
    score = Score()
    seen = truth(order("once", charged=1000, refunds=1, refunded=250))
    score.close({"once": 1000}, {"once": 250}, seen, Books(paid=1, charged=1000, refunded=250, ledger_off=0))
    assert score.is_perfect
