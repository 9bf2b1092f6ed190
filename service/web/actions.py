"""GET /v1/orders/{id}/action: what the customer has to do, read from Stripe at that moment and kept nowhere (R30)."""

from litestar.response.base import ASGIResponse
from msgspec import Struct

from service import orders
from service.accounts.scopes import Scope
from service.foundation.errors import Conflict
from service.web import body, examples
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Group, id_in_path
from service.web.resources import resources_of

ROUTES = Group("orders")

_WAITING = "requires_action"  # the order's word and Stripe's


class Action(Struct, frozen=True):
    """What the customer has to do; `redirect_url` is null where Stripe's script in the browser does it."""

    type: str
    client_secret: str
    redirect_url: str | None


@ROUTES.operation(
    "GET",
    "/v1/orders/{order_id:uuid}/action",
    {200: Answer(Action, {"3-D Secure": examples.ACTION})},
    problems=("not-found", "conflict"),
    headers=("Cache-Control",),
    scope=Scope.ORDERS_WRITE,
)
async def get_action(request: AnyRequest) -> ASGIResponse:
    """What the customer of an order has to do, as Stripe says now.

    Nothing of the answer is stored or logged.
    """
    resources = resources_of(request)
    order = await orders.get(resources.engine, caller_of(request).account_id, id_in_path(request, "order_id"))
    if order.status != _WAITING or order.payment_intent is None:
        raise Conflict(
            f"The order is {order.status}: nobody has to act for it. GET /v1/orders/{{id}} shows what becomes of it."
        )
    payment = await resources.payment_pages.read(order.payment_intent)
    if payment.status != _WAITING or payment.next_action is None:
        raise Conflict(
            f"The order is {order.status}, and at Stripe its payment has gone on. GET /v1/orders/{{id}} will show it."
        )
    redirect = payment.next_action.redirect_to_url
    shown = Action(payment.next_action.type, payment.client_secret, None if redirect is None else redirect.url)
    return body.answer(shown, headers={"Cache-Control": "no-store"})
