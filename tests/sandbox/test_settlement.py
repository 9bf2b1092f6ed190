"""Payments that settle in another currency: every movement at its moment's rate, and the balance is their sum."""

from typing import Any

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox.test_disputes import net

FEE_DISPUTE = 1500


def settle(shop: Shop, currency: str, settles_in: str | None, rate: str | None = None) -> Any:
    wanted = {"currency": currency, "settles_in": settles_in, "rate": rate}
    return shop.sandbox.control("POST", "settlement", wanted)


async def sold(shop: Shop, currency: str = "eur", **params: Any) -> Any:
    """A charge whose fee is known."""
    await shop.sell(currency=currency, **params)
    shop.sandbox.control("POST", "fees/flush")
    return (await shop.charge()).balance_transaction


async def read(shop: Shop, entry: str) -> Any:
    return await shop.api.v1.balance_transactions.retrieve_async(entry)


async def test_charge_refund_and_dispute_settle_at_the_rate_of_their_moment(own_shop: Shop) -> None:
    settle(own_shop, "eur", "usd", "1.0842")
    charged = await read(own_shop, await sold(own_shop))
    # 1999 · 1.0842 = 2167.3; 2.9 % of 2167 is 62.8, and 30.
    assert (charged.amount, charged.fee, charged.net) == (2167, 93, 2074)
    assert (charged.currency, charged.exchange_rate) == ("usd", 1.0842)

    settle(own_shop, "eur", "usd", "1.11")
    refunded = await read(own_shop, (await own_shop.refund(amount=500)).balance_transaction)
    assert (refunded.amount, refunded.fee, refunded.currency, refunded.exchange_rate) == (-555, 0, "usd", 1.11)

    settle(own_shop, "eur", "usd", "0.9")
    dispute = own_shop.dispute(amount=1000)
    withdrawn = dispute["balance_transactions"][0]
    assert (withdrawn["amount"], withdrawn["fee"], withdrawn["currency"]) == (-900, FEE_DISPUTE, "usd")
    assert (withdrawn["exchange_rate"], dispute["amount"], dispute["currency"]) == (0.9, 1000, "eur")
    settle(own_shop, "eur", "usd", "0.95")
    back = own_shop.decide(dispute, "won")["balance_transactions"][-1]
    assert (back["amount"], back["net"], back["exchange_rate"]) == (950, 950, 0.95)

    assert await net(own_shop) == 2074 - 555 - 900 - FEE_DISPUTE + 950
    assert await net(own_shop, "eur") == 0
    truth = own_shop.sandbox.truth(own_shop.order)
    assert (truth["amounts"], truth["refunded"], truth["disputed"]) == ({"eur": 1999}, {"eur": 500}, {})
    assert (truth["withdrawn"], truth["reinstated"]) == ({"usd": 900}, {"usd": 950})


async def test_a_charge_keeps_its_currency_of_settlement_when_the_rule_is_gone(own_shop: Shop) -> None:
    settle(own_shop, "eur", "usd", "1.1")
    await sold(own_shop)
    settle(own_shop, "eur", None)
    refunded = await read(own_shop, (await own_shop.refund(amount=1000)).balance_transaction)
    assert (refunded.amount, refunded.currency, refunded.exchange_rate) == (-1100, "usd", 1.1)
    plain = await read(own_shop, await sold(own_shop))
    assert (plain.amount, plain.currency, plain.exchange_rate) == (1999, "eur", None)
    settle(own_shop, "eur", "usd", "1.1")
    refunded = await read(own_shop, (await own_shop.refund(amount=1000)).balance_transaction)
    assert (refunded.amount, refunded.currency, refunded.exchange_rate) == (-1000, "eur", None)


async def test_a_refund_that_fails_comes_back_at_the_rate_of_that_moment(own_shop: Shop) -> None:
    settle(own_shop, "eur", "usd", "1.1")
    await sold(own_shop)
    refund = await own_shop.refund(amount=1000)
    settle(own_shop, "eur", "usd", "1.2")
    failed = own_shop.end(refund, "failed")
    assert (await read(own_shop, failed["failure_balance_transaction"])).amount == 1200
    assert await net(own_shop) == (2199 - 94) - 1100 + 1200


async def test_what_is_left_for_refunds_is_counted_in_the_currency_of_settlement(own_shop: Shop) -> None:
    settle(own_shop, "eur", "usd", "2")
    await sold(own_shop)
    for currency in ("eur", "usd"):
        own_shop.sandbox.control("POST", "balance", {"currency": currency, "available": 1000})
    paid, waits = await own_shop.refund(amount=500), await own_shop.refund(amount=1)
    assert (paid.status, waits.status, waits.pending_reason) == ("succeeded", "pending", "insufficient_funds")
    assert own_shop.sandbox.control("POST", "balance", {"currency": "usd", "available": 2})["paid"] == 1
    assert (await read(own_shop, (await own_shop.read(waits)).balance_transaction)).amount == -2


# Amounts of 19.99 in minor units, and what they would be before they are rounded.
CONVERTED = [
    ("usd", "jpy", "1.505", 3008),  # 3008.495
    ("jpy", "usd", "0.6645", 1328),  # 1328.3355
    ("usd", "kwd", "3.0715", 6140),  # 6139.9285
    ("usd", "eur", "0.50025", 1000),  # 999.99975
    ("usd", "gbp", "0.75", 1499),  # 1499.25
    ("usd", "cad", "1.5", 2999),  # 2998.5
]


async def test_minor_units_are_multiplied_and_rounded_half_up(own_shop: Shop) -> None:
    for currency, settles_in, rate, amount in CONVERTED:
        settle(own_shop, currency, settles_in, rate)
        charged = await read(own_shop, await sold(own_shop, currency))
        assert (charged.amount, charged.currency, charged.net) == (amount, settles_in, amount - charged.fee)
        refunded = await read(own_shop, (await own_shop.refund()).balance_transaction)
        assert refunded.amount == -amount


async def test_a_rule_that_is_none_is_refused(shop: Shop) -> None:
    for wrong in (
        ("eur", "usd", "0"), ("eur", "usd", "-1"), ("eur", "usd", "many"), ("eur", "usd", "NaN"),
        ("eur", "usd", None), ("eur", "eur", "1"), ("eur", "xyz", "1"), ("xyz", "usd", "1"),
    ):  # fmt: skip
        with pytest.raises(OSError, match="400"):
            settle(shop, *wrong)
