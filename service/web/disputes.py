"""Disputes: what a customer's bank says of a payment, read by Stripe's ids. Nothing is changed here."""

from litestar.response.base import ASGIResponse

from service import disputes
from service.accounts.scopes import Scope
from service.disputes import Dispute, DisputePage
from service.states import DISPUTE_STATUSES
from service.web import body, examples, query
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Group, stripe_id_in_path
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("disputes")

_FILTERS = (query.OF_ORDER, query.DISPUTE_STATUS, query.LIMIT, query.CURSOR)


@ROUTES.operation(
    "GET",
    "/v1/disputes",
    {200: Answer(DisputePage, {"a page": examples.DISPUTES})},
    parameters=_FILTERS,
    scope=Scope.ORDERS_READ,
)
async def list_disputes(request: AnyRequest) -> ASGIResponse:
    """List disputes, those that were opened last first."""
    asked = Query.of(request, *_FILTERS)
    found, has_more = await disputes.page(
        resources_of(request).engine,
        caller_of(request).account_id,
        limit=asked.limit(),
        before=asked.stripe_cursor(),
        status=asked.status(DISPUTE_STATUSES),
        order_id=asked.of_order(),
    )
    return body.answer(DisputePage(found, Query.next_stripe_cursor(found[-1].id) if has_more else None))


@ROUTES.operation(
    "GET",
    "/v1/disputes/{dispute_id:str}",
    {200: Answer(Dispute, {"waits for evidence": examples.DISPUTE, "lost": examples.DISPUTE_LOST})},
    problems=("not-found",),
    scope=Scope.ORDERS_READ,
)
async def get_dispute(request: AnyRequest) -> ASGIResponse:
    """One dispute, as it is now. No state of it is for ever: an appeal may open it again."""
    dispute_id = stripe_id_in_path(request, "dispute_id")
    return body.answer(await disputes.get(resources_of(request).engine, caller_of(request).account_id, dispute_id))
