"""Orders: accepted one by one or in a batch, listed, and shown with what happened to them."""

import asyncio
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from litestar.response.base import ASGIResponse

from service import orders
from service.accounts import Caller
from service.foundation.errors import BadRequest, Problem
from service.orders import Order, OrderPage, OrderRequest
from service.orders.keys import KEY_MAX, key_of_headers
from service.orders.timeline import Event
from service.web import batch, body, examples, problems, query, waiting
from service.web.auth import caller_of
from service.web.batch import BatchAnswer, BatchItem, BatchRequest, BatchResult
from service.web.operation import Answer, AnyRequest, Body, Group, ListOf, Parameter
from service.web.query import Query
from service.web.resources import Resources, resources_of

ROUTES = Group("orders")

_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1},
    "header",
    required=True,
    text=f"One key, one order, for ever. 1 to {KEY_MAX} characters 0x21-0x7E, bare or as a quoted "
    "structured-field string (the same key). Keys starting with `eo1:` are reserved. Repeat a request whose outcome "
    "you do not know with the same key and body.",
    example="cart-17",
)
_MALFORMED_KEY = ("idempotency-key-malformed", "idempotency-key-reserved")
_BATCH_WEIGHT = 100  # orders of a batch that count as one request towards the limit of all requests (`ratelimit.FLOOD`)

_Item = tuple[str, OrderRequest]


@ROUTES.operation(
    "POST",
    "/v1/orders",
    {201: Answer(Order, {"accepted": examples.PENDING, "a replay, or after a wait": examples.PAID})},
    body=Body(OrderRequest, examples.ORDER_REQUEST),
    parameters=(_IDEMPOTENCY_KEY, waiting.PREFER),
    problems=(
        "idempotency-key-missing", *_MALFORMED_KEY, "currency-unknown", "amount-invalid", "amount-out-of-range",
        "amount-not-a-multiple", "string-invalid", "card-data-rejected", "idempotency-key-reused", "not-confirmed",
    ),
    headers=("Location", "Idempotent-Replayed"),
)  # fmt: skip
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
        await resources.limit.admit(
            caller.key_id, is_replay=lambda: orders.exists(resources.engine, caller.account_id, key)
        )
    placed = await resources.group_commit.submit(orders.Candidate.of(caller.account_id, key, order))
    shown = placed.order
    if wait_s := waiting.wished_s(headers):
        shown = await resources.waiting.until_settled(shown, wait_s)
    more = {"Location": f"/v1/orders/{shown.id}"}
    if placed.replayed:
        more["Idempotent-Replayed"] = "true"
    return body.answer(shown, 201, more)


@ROUTES.operation(
    "POST",
    "/v1/orders/batch",
    {200: Answer(BatchAnswer, {"one accepted, one refused": examples.BATCH_ANSWER})},
    body=Body(BatchRequest, examples.BATCH_REQUEST, items=BatchItem, max_bytes=batch.BATCH_BODY_MAX),
)
async def create_orders(request: AnyRequest) -> ASGIResponse:
    """Accept up to 1,000 orders, each with its own answer."""
    resources, caller = resources_of(request), caller_of(request)
    items = [_read_item(raw) for raw in await batch.read(request)]
    await _limit_batch(resources, caller, items)
    submitted = [_submit(resources, caller, item) for item in items]
    waited = [s for s in submitted if not isinstance(s, Problem)]
    answers = iter(await asyncio.gather(*waited, return_exceptions=True))
    results = [_result(s if isinstance(s, Problem) else next(answers), request) for s in submitted]
    return body.answer(BatchAnswer(results))


_FILTERS = (query.STATUS, query.IDEMPOTENCY_KEY, query.LIMIT, query.CURSOR)


@ROUTES.operation(
    "GET",
    "/v1/orders",
    {200: Answer(OrderPage, {"a page": examples.PAGE})},
    parameters=_FILTERS,
    problems=_MALFORMED_KEY,
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
)
async def get_order(request: AnyRequest) -> ASGIResponse:
    """One order, as it is now.

    `Prefer: wait=N` holds the answer until the order is settled.
    """
    resources = resources_of(request)
    order = await orders.get(resources.engine, caller_of(request).account_id, _order_id(request))
    if wait_s := waiting.wished_s(request.scope["headers"]):
        order = await resources.waiting.until_settled(order, wait_s)
    return body.answer(order)


@ROUTES.operation(
    "GET",
    "/v1/orders/{order_id:uuid}/timeline",
    {200: Answer(ListOf("Timeline", Event), {"paid": examples.TIMELINE})},
    problems=("not-found",),
)
async def get_timeline(request: AnyRequest) -> ASGIResponse:
    """What happened to an order, oldest first.

    An order that waits is shown with the reason.
    """
    resources = resources_of(request)
    checks = (await resources.readiness.ask()).checks
    found = await orders.timeline(resources.engine, caller_of(request).account_id, _order_id(request), checks)
    return body.answer({"data": found})


def _read_item(raw: bytes) -> _Item | Problem:
    try:
        return batch.read_item(raw)
    except BadRequest as problem:
        return problem


async def _limit_batch(resources: Resources, caller: Caller, items: Sequence[_Item | Problem]) -> None:
    """Count the new orders of a batch against the rate limit; a batch without new orders is a replay (R7)."""
    if resources.limit is None:
        return
    keys = {item[0] for item in items if not isinstance(item, Problem)}
    new = len(items) - await orders.known_keys(resources.engine, caller.account_id, sorted(keys))

    async def is_replay() -> bool:
        return not new

    weight = max(1, len(items) // _BATCH_WEIGHT)
    await resources.limit.admit(caller.key_id, cost=new, weight=weight, is_replay=is_replay)


def _submit(resources: Resources, caller: Caller, item: _Item | Problem) -> "asyncio.Future[orders.Placed] | Problem":
    if isinstance(item, Problem):
        return item
    return resources.group_commit.submit(orders.Candidate.of(caller.account_id, *item))


def _result(outcome: "orders.Placed | BaseException", request: AnyRequest) -> BatchResult:
    if isinstance(outcome, orders.Placed):
        return BatchResult(201, outcome.replayed, outcome.order)
    answered = problems.body_of(problems.as_problem(outcome, request.scope), problems.request_id(request.scope))
    return BatchResult(answered.status, problem=answered)


def _order_id(request: AnyRequest) -> UUID:
    return cast("UUID", request.scope["path_params"]["order_id"])  # the route's type has parsed it
