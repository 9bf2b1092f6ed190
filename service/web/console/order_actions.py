"""What may be done with one order: the same functions as the API's and the command line's, under the visitor's name.

A form that asks for money has an idempotency key of its own, made with its page: a double click, a reload or a second
tab of the same page asks once. A form of a page that shows what is not so any more does nothing.
"""

import re
from typing import Any
from uuid import UUID

import msgspec
from litestar.response.base import ASGIResponse

from service import changes, outbox, refunds
from service.changes import CancelRequest, CaptureRequest
from service.charges.ending import fail_by_hand
from service.console import Visitor
from service.console.order_page import OrderPage
from service.foundation.errors import BadRequest, Problem
from service.foundation.money import parsed, spelled
from service.orders.identity import CANCEL, CAPTURE, REFUND
from service.orders.operations import Wish, is_known
from service.refunds import RefundRequest
from service.web.console.forms import Form, reason_of
from service.web.console.frame import Back, action, back, console_of, page, show
from service.web.console.orders import address_of, fresh_key, read_order
from service.web.operation import AnyRequest, id_in_path
from service.web.resources import resources_of

_KEY = re.compile(r"console:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@page("/console/orders/{order_id:uuid}/refund")
async def refund_form(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """How much of an order is given back, and what that would be."""
    found = await read_order(request)
    shown, says = None, ""
    try:
        engine, text = console_of(request).engine, request.query_params.get("amount")
        whole = await refunds.preview(engine, found.whose.account_id, found.whose.id)
        if text is not None:
            amount = parsed(text.strip(), found.order.currency)
            shown = await refunds.preview(engine, found.whose.account_id, found.whose.id, amount)
        most = whole.left
    except Problem as problem:
        says, most = problem.detail, found.left
    follows = "A worker asks Stripe to give the money back, once; both steps are booked when Stripe has done it."
    if shown is not None and shown.is_exchanged:
        follows += " Stripe settles this charge in another currency: it is booked there, at the rate of the charge."
    return _amount_page(
        request,
        visitor,
        found,
        verb="Refund",
        path="refund",
        most=most,
        of_what="can be given back",
        says=says,
        amount=None if shown is None else shown.amount,
        postings=() if shown is None else shown.booked,
        what_follows=follows,
    )


@page("/console/orders/{order_id:uuid}/capture")
async def capture_form(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """How much of what is held is taken."""
    found = await read_order(request)
    amount, says = None, ""
    held = found.order.amount if found.order.status == "authorized" else 0
    try:
        if (text := request.query_params.get("amount")) is not None:
            amount = parsed(text.strip(), found.order.currency)
        if not held or (amount or 0) > held:
            says, amount = f"The order is {found.order.status}: {_spelled(found, held)} can be captured.", None
    except Problem as problem:
        says = problem.detail
    follows = (
        f"A worker asks Stripe to take {_spelled(found, amount or held)}, once; the rest of it is let go for good."
    )
    return _amount_page(
        request,
        visitor,
        found,
        verb="Capture",
        path="capture",
        most=held,
        of_what="are held",
        says=says,
        amount=amount,
        postings=(),
        what_follows=follows,
    )


def _amount_page(
    request: AnyRequest, visitor: Visitor, found: OrderPage, *, verb: str, most: int, **values: Any
) -> ASGIResponse:
    whole = _spelled(found, most).split()[0].replace(",", "")
    return show(
        visitor,
        "order_amount.html",
        title=f"{verb} order {found.order.id}",
        order=found.order,
        verb=verb,
        most=most,
        seen=found.seen,
        key=fresh_key(),
        amount_text=request.query_params.get("amount", whole),
        **values,
    )


@action("/console/orders/{order_id:uuid}/refund")
async def refund(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Give money back."""
    found, reason = await read_order(request), reason_of(form)
    wanted = RefundRequest(amount=_amount_of(form))
    wish = _wish(form, found, REFUND, wanted)
    if (changed := await _changed(request, visitor, form, found, wish)) is not None:
        return changed
    done = await refunds.refund(resources_of(request).operations, wish, wanted, who=visitor.who, why=reason)
    amount = spelled(done.refund.amount, done.refund.currency)
    again = "This form was sent before, so nothing more was asked: a" if done.replayed else "A"
    return _back(found, f"{again} refund of {amount} is under way.")


@action("/console/orders/{order_id:uuid}/capture")
async def capture(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Take what is held."""
    found, reason = await read_order(request), reason_of(form)
    wanted = CaptureRequest(amount=_amount_of(form))
    wish = _wish(form, found, CAPTURE, wanted)
    if (changed := await _changed(request, visitor, form, found, wish)) is not None:
        return changed
    done = await changes.capture(resources_of(request).operations, wish, wanted, who=visitor.who, why=reason)
    again = "This form was sent before, so nothing more was asked: the" if done.replayed else "The"
    return _back(found, f"{again} capture is under way.")


@action("/console/orders/{order_id:uuid}/cancel")
async def cancel(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """End an order without taking its money."""
    found, reason = await read_order(request), reason_of(form)
    wish = _wish(form, found, CANCEL, CancelRequest())
    if (changed := await _changed(request, visitor, form, found, wish)) is not None:
        return changed
    done = await changes.cancel(resources_of(request).operations, wish, who=visitor.who, why=reason)
    is_over = done.order.status == "canceled"
    return _back(found, "The order is canceled." if is_over else "Stripe is being asked to cancel its payment.")


@action("/console/orders/{order_id:uuid}/fail")
async def fail(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """End a parked order as failed."""
    found, reason = await read_order(request), reason_of(form)
    if (changed := await _changed(request, visitor, form, found)) is not None:
        return changed
    await fail_by_hand(console_of(request).engine, found.whose.id, reason, who=visitor.who)
    return _back(found, "The order is failed, and its producer is told.")


@action("/console/orders/{order_id:uuid}/rows/{row_id:uuid}/retry")
async def retry(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Bring a parked row back."""
    found, reason = await read_order(request), reason_of(form)
    if (changed := await _changed(request, visitor, form, found)) is not None:
        return changed
    came_back = await outbox.retry(
        console_of(request).engine, [_row_in_path(request, found)], who=visitor.who, reason=reason
    )
    return _back(found, "It is due now." if came_back else "It was not parked any more: nothing was done.")


@action("/console/orders/{order_id:uuid}/rows/{row_id:uuid}/park")
async def park(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Take a row out of delivery."""
    found, reason = await read_order(request), reason_of(form)
    if (changed := await _changed(request, visitor, form, found)) is not None:
        return changed
    await outbox.park(console_of(request).engine, _row_in_path(request, found), reason, who=visitor.who)
    return _back(found, "It is parked.")


async def _changed(
    request: AnyRequest, visitor: Visitor, form: Form, found: OrderPage, wish: Wish | None = None
) -> ASGIResponse | None:
    """The answer to a form whose page shows what is not so any more; a form that was sent before is answered again."""
    if form.get("seen") == found.seen:
        return None
    if wish is not None and await is_known(console_of(request).engine, wish):
        return None
    return show(visitor, "order_changed.html", title="The order has changed", status=409, order=found.order)


def _wish(form: Form, found: OrderPage, operation: str, wanted: msgspec.Struct) -> Wish:
    key = form.get("key", "")
    if _KEY.fullmatch(key) is None:
        raise BadRequest("The form has no key of its own. Load the page again.")
    return Wish(operation, found.whose.account_id, found.whose.id, key, wanted)


def _amount_of(form: Form) -> int:
    text = form.get("amount", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) == 0:
        raise BadRequest("The form has no amount. Load the page again.")
    return int(text)


def _row_in_path(request: AnyRequest, found: OrderPage) -> UUID:
    """The row that is meant, which must be one of the order's."""
    row_id = id_in_path(request, "row_id")
    if all(row.id != row_id for row in found.rows):
        raise BadRequest("This order has no such outbox row any more.")
    return row_id


def _back(found: OrderPage, said: str) -> Back:
    return back(address_of(found.order.id), said=said)


def _spelled(found: OrderPage, amount: int) -> str:
    return spelled(amount, found.order.currency)
