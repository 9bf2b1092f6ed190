"""POST /v1/orders: one order is read, checked, and answered once it is durable."""

from typing import Any

from litestar import HttpMethod, Request, route
from litestar.response.base import ASGIResponse

from service import orders
from service.accounts.keys import Caller
from service.orders.keys import key_of_headers
from service.orders.model import OrderRequest, check_order
from service.web import body, waiting
from service.web.parts import Parts

AnyRequest = Request[Any, Any, Any]


@route("/orders", http_method=HttpMethod.POST)
async def create_order(request: AnyRequest) -> ASGIResponse:
    """Accept an order: 201 only after COMMIT. A replay answers with the order as it is now."""
    parts, caller = parts_of(request), caller_of(request)
    headers = request.scope["headers"]
    key = key_of_headers(headers)
    order = await body.read(request, OrderRequest)
    check_order(order, key)
    if parts.limit is not None:
        await parts.limit.admit(caller.key_id, is_replay=lambda: orders.exists(parts.engine, caller.account_id, key))
    placed = await parts.door.submit(orders.Candidate.of(caller.account_id, key, order))
    shown = placed.order
    if wait_s := waiting.wished_s(headers):
        shown = await parts.waiting.until_settled(shown, wait_s)
    more = {"Location": f"/v1/orders/{shown.id}"}
    if placed.replayed:
        more["Idempotent-Replayed"] = "true"
    return body.answer(shown, 201, more)


def parts_of(request: AnyRequest) -> Parts:
    """What the application holds for its handlers."""
    return request.app.state["parts"]  # type: ignore[no-any-return]


def caller_of(request: AnyRequest) -> Caller:
    """Whose key it was, as the router's middleware has found it."""
    return request.scope["auth"]  # type: ignore[no-any-return]
