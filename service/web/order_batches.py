"""POST /v1/orders/batch: up to 1,000 orders, each read, checked and answered by itself."""

import asyncio
from collections.abc import Sequence

from litestar.response.base import ASGIResponse

from service import orders
from service.accounts import Caller
from service.accounts.scopes import Scope
from service.foundation.errors import BadRequest, Problem
from service.orders import OrderRequest
from service.web import batch, body, examples, problems
from service.web.auth import caller_of
from service.web.batch import BatchAnswer, BatchItem, BatchRequest, BatchResult
from service.web.operation import Answer, AnyRequest, Body, Group
from service.web.resources import Resources, resources_of

ROUTES = Group("orders")

_BATCH_WEIGHT = 100  # orders of a batch that count as one request towards the limit of all requests (`ratelimit.FLOOD`)

_Item = tuple[str, OrderRequest]


@ROUTES.operation(
    "POST",
    "/v1/orders/batch",
    {200: Answer(BatchAnswer, {"one accepted, one refused": examples.BATCH_ANSWER})},
    body=Body(BatchRequest, examples.BATCH_REQUEST, items=BatchItem, max_bytes=batch.BATCH_BODY_MAX),
    scope=Scope.ORDERS_WRITE,
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


def _read_item(raw: bytes) -> _Item | Problem:
    try:
        return batch.read_item(raw)
    except BadRequest as problem:
        return problem


async def _limit_batch(resources: Resources, caller: Caller, items: Sequence[_Item | Problem]) -> None:
    """Count the new orders of a batch against the rate limit; a batch without new orders is a replay (R7)."""
    if resources.limit is None or not resources.limit.counts(caller):
        return
    keys = {item[0] for item in items if not isinstance(item, Problem)}
    new = len(items) - await orders.known_keys(resources.engine, caller.account_id, sorted(keys))

    async def is_replay() -> bool:
        return not new

    weight = max(1, len(items) // _BATCH_WEIGHT)
    await resources.limit.admit(caller, cost=new, weight=weight, is_replay=is_replay)


def _submit(resources: Resources, caller: Caller, item: _Item | Problem) -> "asyncio.Future[orders.Placed] | Problem":
    if isinstance(item, Problem):
        return item
    return resources.group_commit.submit(orders.Candidate.of(caller.account_id, *item))


def _result(outcome: "orders.Placed | BaseException", request: AnyRequest) -> BatchResult:
    if isinstance(outcome, orders.Placed):
        return BatchResult(201, outcome.replayed, outcome.order)
    answered = problems.body_of(problems.as_problem(outcome, request.scope), problems.request_id(request.scope))
    return BatchResult(answered.status, problem=answered)
