"""What the tests of captures, cancellations and further attempts say again and again."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from service.effects import STRIPE_VERSION
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.charges.world import Promise, World

CUSTOMER = "pm_card_authenticationRequired"
DECLINED = "pm_card_visa_chargeDeclined"
DECLINED_LATER = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
_numbers = count(1)


async def authorized(world: World, **changes: Any) -> Promise:
    """An order whose money is held."""
    promise = await world.order(capture="manual", **changes)
    await world.deliver(promise)
    assert await world.status(promise) == "authorized"
    return promise


async def declined(world: World) -> Promise:
    """An order whose card was declined; its PaymentIntent is known."""
    promise = await world.order(payment_method=DECLINED)
    await world.work()
    assert await world.status(promise) == "failed"
    return promise


async def change(world: World, promise: Promise) -> dict[str, Any]:
    """The one change of the order's payments."""
    (found,) = await world.changes(promise)
    return found


async def calls(world: World, promise: Promise) -> list[str]:
    """What was asked of Stripe for that change, where it brought news."""
    return [entry["call"] for entry in (await change(world, promise))["history"] if "call" in entry]


async def order(world: World, promise: Promise) -> dict[str, Any]:
    """The order's row."""
    return await world.one("SELECT * FROM orders WHERE id = :id", id=promise.order_id)


def truth(world: World, promise: Promise) -> dict[str, Any]:
    """What happened to the order's money, says the witness."""
    found: dict[str, Any] = world.stripe.truth(str(promise.order_id))
    return found


async def payment(world: World, promise: Promise, attempt: int = 1) -> str:
    """The id of the attempt's PaymentIntent."""
    return str((await world.charge(promise, attempt))["payment_intent_id"])


async def past_us(
    world: World, promise: Promise, path: Callable[[str], str], params: Mapping[str, Any], *, attempt: int = 1
) -> Answer:
    """What somebody does with the payment at Stripe, without this service."""
    async with StripeGateway(world.settings) as gateway:
        where = path(await payment(world, promise, attempt))
        answer = await gateway.post(
            where, params, key=f"past us:{promise.key}:{next(_numbers)}", version=STRIPE_VERSION
        )
    assert answer.http_status == 200
    return answer


async def assert_captured_once(world: World, promise: Promise, amount: int) -> None:
    """Paid with so much here, taken once there, booked once, and nothing left to do."""
    row = await order(world, promise)
    assert (row["status"], row["amount_captured_minor"] or row["amount_minor"]) == ("paid", amount)
    seen = truth(world, promise)
    assert (seen["charges"], seen["captured"], seen["held"]) == (1, {"usd": amount}, {})
    (entry,) = await world.entries(promise)
    assert {abs(p["amount"]) for p in entry["postings"]} == {amount}
    assert await world.row_of(promise.order_id) is None
    await world.balanced()


async def assert_let_go(world: World, promise: Promise) -> None:
    """Canceled here, nothing taken or held there, nothing booked, and nothing left to do."""
    assert await world.status(promise) == "canceled"
    seen = truth(world, promise)
    assert (seen["charges"], seen["held"]) == (0, {})
    assert await world.entries(promise) == []
    assert await world.row_of(promise.order_id) is None
