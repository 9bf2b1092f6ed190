"""Refunds: made, found, and counted by the witness."""

from stripe import InvalidRequestError

from tests.sandbox.client import failure, new_key, order
from tests.sandbox.shop import Shop

# -- made -------------------------------------------------------------------------------------------------------------


async def test_a_refund_gives_all_back(shop: Shop) -> None:
    await shop.sell()
    refund = await shop.refund(reason="requested_by_customer", metadata={"eo_refund": "r1"})

    assert (refund.object, refund.status, refund.amount, refund.currency) == ("refund", "succeeded", 1999, "usd")
    assert (refund.payment_intent, refund.charge) == (shop.intent.id, shop.intent.latest_charge)
    assert (refund.reason, refund.metadata.to_dict()) == ("requested_by_customer", {"eo_refund": "r1"})
    charge = await shop.charge()
    assert (charge.refunded, charge.amount_refunded, charge.status) == (True, 1999, "succeeded")
    assert shop.back() == (1, {"usd": 1999}, 0)
    truth = shop.sandbox.truth(shop.order)
    assert (truth["charges"], truth["amounts"], truth["refund_ids"]) == (1, {"usd": 1999}, [refund.id])
    assert await shop.told(refund.id) == ["refund.created"]
    assert (await shop.told(charge.id)).count("charge.refunded") == 1


async def test_refunds_may_be_partial_until_nothing_is_left(shop: Shop) -> None:
    await shop.sell()
    made = [await shop.refund(amount=amount) for amount in (500, 1000)]
    charge = await shop.charge()
    assert (charge.refunded, charge.amount_refunded) == (False, 1500)
    made.append(await shop.refund())

    charge = await shop.charge()
    assert [refund.amount for refund in made] == [500, 1000, 499]
    assert (charge.refunded, charge.amount_refunded) == (True, 1999)
    assert [refund.id for refund in charge.refunds.data] == [refund.id for refund in reversed(made)]
    assert shop.back() == (3, {"usd": 1999}, 0)


async def test_no_more_than_was_captured_is_refunded(shop: Shop) -> None:
    await shop.sell(capture_method="manual")
    await shop.api.intents.capture_async(shop.intent.id, {"amount_to_capture": 1000})
    refused = await failure(shop.refund(amount=1001), InvalidRequestError)
    assert "($10.00)" in refused.user_message
    assert (await shop.refund()).amount == 1000
    assert (await shop.charge()).refunded is True


async def test_a_charge_shows_its_refunds_only_when_asked(shop: Shop) -> None:
    await shop.sell()
    for _ in range(11):
        await shop.refund(amount=1)
    plain = await shop.api.v1.charges.retrieve_async(shop.intent.latest_charge)
    assert "refunds" not in plain
    shown = (await shop.charge()).refunds
    assert (len(shown.data), shown.has_more) == (10, True)


async def test_the_balance_pays_and_keeps_the_fee(own_shop: Shop) -> None:
    await own_shop.sell()
    own_shop.sandbox.control("POST", "fees/flush")
    refund = await own_shop.refund(amount=500, expand=["balance_transaction"])

    moved = refund.balance_transaction
    assert (moved.type, moved.reporting_category, moved.source) == ("refund", "refund", refund.id)
    assert (moved.amount, moved.fee, moved.net) == (-500, 0, -500)
    listed = (await own_shop.api.v1.balance_transactions.list_async()).data
    assert [entry.net for entry in listed] == [-500, 1999 - 88]
    only = (await own_shop.api.v1.balance_transactions.list_async({"type": "refund"})).data
    assert [entry.id for entry in only] == [moved.id]


async def test_metadata_is_all_that_can_be_changed(shop: Shop) -> None:
    await shop.sell()
    refund = await shop.refund(metadata={"a": "1", "b": "2"})
    changed = await shop.api.v1.refunds.update_async(refund.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert (await shop.api.v1.refunds.update_async(refund.id, {"metadata": ""})).metadata.to_dict() == {}
    assert await shop.told(refund.id) == ["refund.created", "refund.updated", "refund.updated"]


# -- found ------------------------------------------------------------------------------------------------------------


async def test_refunds_are_found_by_where_they_come_from(own_shop: Shop) -> None:
    await own_shop.sell()
    mine = [(await own_shop.refund(amount=100)).id for _ in range(3)]
    first = own_shop.intent
    await own_shop.sell()
    other = await own_shop.refund()

    listing = own_shop.api.v1.refunds.list_async
    for name, value in (("payment_intent", first.id), ("charge", first.latest_charge)):
        assert [refund.id for refund in (await listing({name: value})).data] == mine[::-1]
    assert [refund.id for refund in (await listing({"created": {"gte": other.created}, "limit": 1})).data] == [other.id]
    page = await listing({"limit": 2})
    rest = await listing({"limit": 2, "starting_after": page.data[-1].id})
    assert [refund.id for refund in (*page.data, *rest.data)] == [other.id, *mine[::-1]]
    back = await listing({"limit": 1, "ending_before": rest.data[0].id})
    assert [refund.id for refund in back.data] == [page.data[-1].id]


# -- the witness ------------------------------------------------------------------------------------------------------


async def test_the_witness_tells_orders_apart_and_adds_them_up(own_shop: Shop) -> None:
    await own_shop.sell()
    await own_shop.refund(amount=500)
    first = own_shop.order
    own_shop.order = new_key()
    await own_shop.sell("pm_card_refundFail", currency="eur")
    own_shop.end(await own_shop.refund(), "failed")
    canceled = await own_shop.api.create(metadata=order("canceled"))
    await own_shop.api.intents.cancel_async(canceled.id)

    found = own_shop.sandbox.control("GET", "truth?per=order")
    orders = {entry["order"]: entry for entry in found["orders"]}
    assert set(orders) == {first, own_shop.order, "canceled"}
    assert len(found["orders"]) == 3
    assert orders[first]["refunded"] == {"usd": 500}
    assert (orders[own_shop.order]["refunded"], orders[own_shop.order]["refunds_failed"]) == ({}, 1)
    assert (orders["canceled"]["charges"], orders["canceled"]["canceled"]) == (0, [canceled.id])
    totals = found["totals"]
    assert (totals["refunds"], totals["refunded"], totals["refunds_failed"], totals["canceled"]) == (
        1,
        {"usd": 500},
        1,
        1,
    )
    assert totals["charges_failed"] == 0
