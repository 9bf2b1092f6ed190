"""Refunds: asked for below their order, read by their own id."""

from litestar.response.base import ASGIResponse

from service import orders, refunds
from service.accounts.scopes import Scope
from service.orders.identity import REFUND
from service.refunds import Refund, RefundPage, RefundRequest, check_refund
from service.states import REFUND_STATUSES
from service.web import body, examples, keyed, query, waiting
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Body, Group, id_in_path
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("refunds")

_OF_ORDER = (query.LIMIT, query.CURSOR)
_FILTERS = (query.REFUND_STATUS, *_OF_ORDER)


@ROUTES.operation(
    "POST",
    "/v1/orders/{order_id:uuid}/refunds",
    {201: Answer(Refund, {"accepted": examples.REFUND_PENDING, "a replay, or after a wait": examples.REFUND})},
    body=Body(RefundRequest, examples.REFUND_REQUEST),
    parameters=(
        keyed.idempotency_key("One key, one refund, for ever. Equal refunds need a key each.", example="return-4"),
        waiting.PREFER,
    ),
    problems=(*keyed.PROBLEMS, "currency-mismatch", "amount-not-a-multiple", "string-invalid"),
    headers=("Location", *keyed.HEADERS),
    scope=Scope.REFUNDS_WRITE,
)
async def create_refund(request: AnyRequest) -> ASGIResponse:
    """Give back what was taken, in whole or in part: 201 once it is durable."""
    resources = resources_of(request)
    wish, wanted = await keyed.read_wish(request, REFUND, RefundRequest, check_refund)
    made = await resources.refunds.refund(wish, wanted)
    shown = made.refund
    if wait_s := waiting.wished_s(request.scope["headers"]):
        shown = await resources.waiting.until_ended(shown, wait_s)
    return body.answer(shown, 201, {"Location": f"/v1/refunds/{shown.id}", **keyed.replayed(made.replayed)})


@ROUTES.operation(
    "GET",
    "/v1/orders/{order_id:uuid}/refunds",
    {200: Answer(RefundPage, {"a page": examples.REFUNDS})},
    parameters=_OF_ORDER,
    problems=("not-found",),
    scope=Scope.ORDERS_READ,
)
async def list_refunds_of_order(request: AnyRequest) -> ASGIResponse:
    """List the refunds of an order, newest first."""
    asked = Query.of(request, *_OF_ORDER)
    engine, account_id = resources_of(request).engine, caller_of(request).account_id
    order = await orders.get(engine, account_id, id_in_path(request, "order_id"))
    found = await refunds.page_of_order(engine, account_id, order.id, limit=asked.limit(), before=asked.cursor())
    return _page(*found)


@ROUTES.operation(
    "GET",
    "/v1/refunds",
    {200: Answer(RefundPage, {"a page": examples.REFUNDS})},
    parameters=_FILTERS,
    scope=Scope.ORDERS_READ,
)
async def list_refunds(request: AnyRequest) -> ASGIResponse:
    """List refunds, newest first."""
    asked = Query.of(request, *_FILTERS)
    found = await refunds.page(
        resources_of(request).engine,
        caller_of(request).account_id,
        limit=asked.limit(),
        before=asked.cursor(),
        status=asked.status(REFUND_STATUSES),
    )
    return _page(*found)


@ROUTES.operation(
    "GET",
    "/v1/refunds/{refund_id:uuid}",
    {200: Answer(Refund, {"given back": examples.REFUND})},
    parameters=(waiting.PREFER,),
    problems=("not-found",),
    scope=Scope.ORDERS_READ,
)
async def get_refund(request: AnyRequest) -> ASGIResponse:
    """One refund, as it is now.

    `Prefer: wait=N` holds the answer until the refund has an end.
    """
    resources = resources_of(request)
    refund = await refunds.get(resources.engine, caller_of(request).account_id, id_in_path(request, "refund_id"))
    if wait_s := waiting.wished_s(request.scope["headers"]):
        refund = await resources.waiting.until_ended(refund, wait_s)
    return body.answer(refund)


def _page(found: list[Refund], has_more: bool) -> ASGIResponse:
    return body.answer(RefundPage(found, Query.next_cursor(found[-1].id) if has_more else None))
