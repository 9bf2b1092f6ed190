"""What the tests of refunds say again and again."""

from typing import Any

from service.refunds import OpenRefund
from tests.charges.wishes import Asked
from tests.charges.world import Promise, World

PENDS = "pm_card_pendingRefund"
FAILS_LATER = "pm_card_refundFail"
ASKS = "pm_sandbox_refundAsks"
REFUNDS = {"method": "POST", "path": "^/v1/refunds$"}
LIST = {"method": "GET", "path": "^/v1/refunds$"}  # the questions of a look-up


def once(fault: str, **how: Any) -> dict[str, Any]:
    """A rule that strikes the next refund, once."""
    return {"fault": fault, "times": 1, **REFUNDS, **how}


async def paid(world: World, **changes: Any) -> Promise:
    """A paid order of 19.99 USD."""
    promise = await world.order(**changes)
    await world.deliver(promise)
    assert await world.status(promise) == "paid"
    return promise


async def refund(world: World, asked: Asked) -> dict[str, Any]:
    """The refund's row."""
    return await world.one("SELECT * FROM refunds WHERE id = :id", id=asked.effect)


async def calls(world: World, asked: Asked) -> list[str]:
    """What was asked of Stripe for it, where it brought news."""
    return [entry["call"] for entry in (await refund(world, asked))["history"] if "call" in entry]


async def sums(world: World, promise: Promise) -> tuple[int, int, int]:
    """What the order counts: given back, under way, owed."""
    row = await world.one("SELECT * FROM orders WHERE id = :id", id=promise.order_id)
    return row["amount_refunded_minor"], row["amount_refunding_minor"], row["amount_owed_minor"]


async def booked(world: World, promise: Promise) -> dict[str, int]:
    """What the journal says of the order, as balances of accounts, fees left out; what is even is left out, too."""
    found: dict[str, int] = {}
    for entry in await world.entries(promise):
        if entry["kind"] != "fee":
            for leg in entry["postings"]:
                found[leg["account"]] = found.get(leg["account"], 0) + leg["amount"]
    return {account: amount for account, amount in found.items() if amount}


def given_back(world: World, promise: Promise) -> tuple[int, int]:
    """How often and how much went back, says the witness."""
    truth = world.stripe.truth(str(promise.order_id))
    return truth["refunds"], truth["refunded"].get("usd", 0)


async def assert_given_back_once(world: World, promise: Promise, asked: Asked, amount: int) -> None:
    """Succeeded here, made once there, booked once, and nothing left to do."""
    row = await refund(world, asked)
    assert (row["status"], row["failure"]) == ("succeeded", None)
    assert world.stripe.truth(str(promise.order_id))["refund_ids"] == [row["stripe_refund_id"]]
    assert given_back(world, promise) == (1, amount)
    assert await sums(world, promise) == (amount, 0, 0)
    assert [e["reference"] for e in await world.entries(promise) if "refund" in e["kind"]] == [
        f"refund_pending:{row['stripe_refund_id']}",
        f"refund:{row['stripe_refund_id']}",
    ]
    assert await world.row(asked) is None
    await world.balanced()


async def opened(world: World, asked: Asked) -> OpenRefund:
    """The refund, as a worker has it in hand now."""
    (held,) = await world.open_effects(asked)
    assert isinstance(held, OpenRefund)
    return held
