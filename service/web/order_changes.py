"""POST below /v1/orders/{id}: capture, cancel and pay. Each is answered once it is durable; a worker carries it out."""

from litestar.response.base import ASGIResponse

from service import changes
from service.accounts.scopes import Scope
from service.changes import CancelRequest, CaptureRequest, Changed, PayRequest, check_change
from service.orders import Order
from service.orders.identity import CANCEL, CAPTURE
from service.orders.operations import PAY
from service.web import body, examples, keyed, waiting
from service.web.operation import Answer, AnyRequest, Body, Group, Json
from service.web.resources import resources_of

ROUTES = Group("orders")

_MEANING = "One key, one {} of one order, for ever; an order's own key may be used again here."


def _answer(**named: Json) -> Answer:
    return Answer(Order, {name.replace("_", " "): example for name, example in named.items()})


@ROUTES.operation(
    "POST",
    "/v1/orders/{order_id:uuid}/capture",
    {
        202: _answer(to_be_captured=examples.AUTHORIZED),
        200: _answer(captured_already=examples.CAPTURED),
    },
    body=Body(CaptureRequest, {"amount": 1500}),
    parameters=(keyed.idempotency_key(_MEANING.format("capture"), example="cart-19"), waiting.PREFER),
    problems=(*keyed.PROBLEMS, "amount-not-a-multiple"),
    headers=keyed.HEADERS,
    scope=Scope.ORDERS_WRITE,
)
async def capture_order(request: AnyRequest) -> ASGIResponse:
    """Take the money that an authorized order holds: 202 once it is durable.

    The rest is released. The order stays `authorized` until Stripe has answered.
    """
    wish, wanted = await keyed.read_wish(request, CAPTURE, CaptureRequest, check_change)
    return await _shown(request, await changes.capture(resources_of(request).operations, wish, wanted))


@ROUTES.operation(
    "POST",
    "/v1/orders/{order_id:uuid}/cancel",
    {
        200: _answer(canceled=examples.CANCELED),
        202: _answer(to_be_canceled_at_Stripe=examples.AUTHORIZED),
    },
    body=Body(CancelRequest, {}),
    parameters=(keyed.idempotency_key(_MEANING.format("cancellation"), example="cart-19"), waiting.PREFER),
    problems=keyed.PROBLEMS,
    headers=keyed.HEADERS,
    scope=Scope.ORDERS_WRITE,
)
async def cancel_order(request: AnyRequest) -> ASGIResponse:
    """End an order without taking its money: 200 where it is canceled, 202 where Stripe must be asked.

    A pending order is canceled at once, and never charged.
    """
    wish, _ = await keyed.read_wish(request, CANCEL, CancelRequest, check_change)
    return await _shown(request, await changes.cancel(resources_of(request).operations, wish))


@ROUTES.operation(
    "POST",
    "/v1/orders/{order_id:uuid}/pay",
    {202: _answer(begun=examples.PAID_AGAIN)},
    body=Body(PayRequest, {"payment_method": "pm_card_mastercard"}),
    parameters=(keyed.idempotency_key(_MEANING.format("further attempt"), example="cart-18-again"), waiting.PREFER),
    problems=keyed.PROBLEMS,
    headers=keyed.HEADERS,
    scope=Scope.ORDERS_WRITE,
)
async def pay_order(request: AnyRequest) -> ASGIResponse:
    """Try once more to take the money of an order that was declined: 202 once it is durable."""
    wish, wanted = await keyed.read_wish(request, PAY, PayRequest, check_change)
    return await _shown(request, await changes.pay(resources_of(request).operations, wish, wanted))


async def _shown(request: AnyRequest, changed: Changed) -> ASGIResponse:
    order = changed.order
    if wait_s := waiting.wished_s(request.scope["headers"]):
        order = await resources_of(request).waiting.until_settled(order, wait_s)
    return body.answer(order, changed.answered, keyed.replayed(changed.replayed))
