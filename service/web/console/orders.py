"""The orders, and one order with its story. What may be done with it is in `order_actions`."""

from urllib.parse import quote
from uuid import UUID, uuid4

from litestar.response.base import ASGIResponse
from markupsafe import Markup

from service.console import Visitor, order_list
from service.console.order_page import OrderPage, order_page
from service.foundation.errors import BadRequest
from service.states import ORDER_STATUSES
from service.web.console.frame import console_of, page, show
from service.web.operation import AnyRequest, id_in_path
from service.web.resources import resources_of

_VIEWS = ("picture", "text", "json")


@page("/console/orders", nav="Orders")
async def orders(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """A page of orders, or what a search found; one that is found alone is shown at once."""
    asked = request.query_params
    text, status = asked.get("q", "").strip(), asked.get("status", "")
    if status and status not in ORDER_STATUSES:
        raise BadRequest(f"status must be one of {', '.join(ORDER_STATUSES)}.")
    engine = console_of(request).engine
    if text:
        found = await order_list.search(engine, text)
        if len(found.orders) == 1:
            return ASGIResponse(status_code=303, headers={"Location": f"/console/orders/{found.orders[0].id}"})
    else:
        found = await order_list.page(engine, status=status or None, before=_before(asked.get("before", "")))
    return show(
        visitor,
        "orders.html",
        title="Orders",
        caption=f"Orders that are named {text}" if text else "Orders, newest first",
        q=text,
        chosen=status,
        statuses=ORDER_STATUSES,
        orders=found.orders,
        owing=found.owing,
        next_before=found.next_before,
        found=found.found,
    )


def _before(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise BadRequest("before must be the id of the last order of the page before.") from error


async def read_order(request: AnyRequest) -> OrderPage:
    """The page of the order in the request's path. Raises NotFound."""
    checks = (await resources_of(request).readiness.ask()).checks
    return await order_page(console_of(request).engine, id_in_path(request, "order_id"), checks)


@page("/console/orders/{order_id:uuid}")
async def order(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """One order: what it is, and what happened to it, as a picture and in words, or as text or JSON alone."""
    found = await read_order(request)
    match request.query_params.get("view", "picture"):
        case "text":
            return ASGIResponse(body=found.text().encode(), media_type="text/plain")
        case "json":
            return ASGIResponse(body=found.as_json(), media_type="application/json")
        case "picture":
            return _picture(visitor, found)
    raise BadRequest(f"view must be one of {', '.join(_VIEWS)}.")


def _picture(visitor: Visitor, found: OrderPage) -> ASGIResponse:
    picture = Markup(found.picture())  # noqa: S704  each text in it was escaped when it was drawn
    title = f"Order {found.order.id}"
    return show(visitor, "order.html", title=title, page=found, picture=picture, since=found.since, key=fresh_key())


def fresh_key() -> str:
    """The idempotency key of a form: it is sent with it, so that a form that is sent twice asks once."""
    return f"console:{uuid4()}"


def address_of(order_id: str) -> str:
    """The order's page."""
    return f"/console/orders/{quote(order_id)}"
