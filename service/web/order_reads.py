"""GET below /v1/orders: a page of orders, one order, and what happened to it."""

from litestar.response.base import ASGIResponse

from service import orders
from service.accounts.scopes import Scope
from service.orders import Order, OrderPage
from service.orders.timeline import Event
from service.web import body, examples, query, waiting
from service.web.auth import caller_of
from service.web.keyed import MALFORMED_KEY
from service.web.operation import Answer, AnyRequest, Group, ListOf, id_in_path
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("orders")

_FILTERS = (query.STATUS, query.IDEMPOTENCY_KEY, query.LIMIT, query.CURSOR)


@ROUTES.operation(
    "GET",
    "/v1/orders",
    {200: Answer(OrderPage, {"a page": examples.PAGE})},
    parameters=_FILTERS,
    problems=MALFORMED_KEY,
    scope=Scope.ORDERS_READ,
)
async def list_orders(request: AnyRequest) -> ASGIResponse:
    """List orders, newest first."""
    asked = Query.of(request, *_FILTERS)
    found, has_more = await orders.page(
        resources_of(request).engine,
        caller_of(request).account_id,
        limit=asked.limit(),
        before=asked.cursor(),
        status=asked.status(),
        key=asked.key(),
    )
    return body.answer(OrderPage(found, Query.next_cursor(found[-1].id) if has_more else None))


@ROUTES.operation(
    "GET",
    "/v1/orders/{order_id:uuid}",
    {200: Answer(Order, {"paid": examples.PAID, "declined": examples.FAILED})},
    parameters=(waiting.PREFER,),
    problems=("not-found",),
    scope=Scope.ORDERS_READ,
)
async def get_order(request: AnyRequest) -> ASGIResponse:
    """One order, as it is now.

    `Prefer: wait=N` holds the answer until the order is settled.
    """
    resources = resources_of(request)
    order = await orders.get(resources.engine, caller_of(request).account_id, id_in_path(request, "order_id"))
    if wait_s := waiting.wished_s(request.scope["headers"]):
        order = await resources.waiting.until_settled(order, wait_s)
    return body.answer(order)


@ROUTES.operation(
    "GET",
    "/v1/orders/{order_id:uuid}/timeline",
    {200: Answer(ListOf("Timeline", Event), {"paid": examples.TIMELINE})},
    problems=("not-found",),
    scope=Scope.ORDERS_READ,
)
async def get_timeline(request: AnyRequest) -> ASGIResponse:
    """What happened to an order, oldest first.

    An order that waits is shown with the reason.
    """
    resources = resources_of(request)
    checks = (await resources.readiness.ask()).checks
    found = await orders.timeline(
        resources.engine, caller_of(request).account_id, id_in_path(request, "order_id"), checks
    )
    return body.answer({"data": found})
