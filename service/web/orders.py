"""POST /v1/orders: one order is read, checked, and answered once it is durable."""

from litestar.response.base import ASGIResponse

from service import orders
from service.accounts.scopes import Scope
from service.orders import Order, OrderRequest
from service.orders.keys import key_of_headers
from service.web import body, examples, keyed, waiting
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Body, Group
from service.web.resources import resources_of

ROUTES = Group("orders")

_IDEMPOTENCY_KEY = keyed.idempotency_key("One key, one order, for ever.", example="cart-17")


@ROUTES.operation(
    "POST",
    "/v1/orders",
    {201: Answer(Order, {"accepted": examples.PENDING, "a replay, or after a wait": examples.PAID})},
    body=Body(OrderRequest, examples.ORDER_REQUEST),
    parameters=(_IDEMPOTENCY_KEY, waiting.PREFER),
    problems=(
        "idempotency-key-missing",
        *keyed.MALFORMED_KEY,
        "currency-unknown",
        "amount-invalid",
        "amount-out-of-range",
        "amount-not-a-multiple",
        "string-invalid",
        "card-data-rejected",
        "idempotency-key-reused",
        "not-confirmed",
    ),
    headers=("Location", "Idempotent-Replayed"),
    scope=Scope.ORDERS_WRITE,
)
async def create_order(request: AnyRequest) -> ASGIResponse:
    """Accept an order: 201 once it is durable.

    A replay is answered with the order as it is now.
    """
    resources, caller = resources_of(request), caller_of(request)
    headers = request.scope["headers"]
    key = key_of_headers(headers)
    order = await body.read(request, OrderRequest)
    orders.check_order(order, key)
    if resources.limit is not None:
        await resources.limit.admit(caller, is_replay=lambda: orders.exists(resources.engine, caller.account_id, key))
    placed = await resources.group_commit.submit(orders.Candidate.of(caller.account_id, key, order))
    shown = placed.order
    if wait_s := waiting.wished_s(headers):
        shown = await resources.waiting.until_settled(shown, wait_s)
    more = {"Location": f"/v1/orders/{shown.id}"}
    if placed.replayed:
        more["Idempotent-Replayed"] = "true"
    return body.answer(shown, 201, more)
