"""Payouts: of the whole installation, and shown to keys of its default account alone."""

from litestar.response.base import ASGIResponse

from service import payouts
from service.accounts.scopes import Scope
from service.payouts import Payout, PayoutEntryPage, PayoutPage
from service.states import PAYOUT_STATUSES
from service.web import body, examples, query
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Group, stripe_id_in_path
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("payouts")

_PAGED = (query.LIMIT, query.CURSOR)
_FILTERS = (query.PAYOUT_STATUS, *_PAGED)


@ROUTES.operation(
    "GET",
    "/v1/payouts",
    {200: Answer(PayoutPage, {"a page": examples.PAYOUTS})},
    parameters=_FILTERS,
    scope=Scope.LEDGER_READ,
)
async def list_payouts(request: AnyRequest) -> ASGIResponse:
    """List payouts, newest first; empty for keys of other accounts than the default one."""
    asked = Query.of(request, *_FILTERS)
    found, has_more = await payouts.page(
        resources_of(request).engine,
        caller_of(request).account_id,
        limit=asked.limit(),
        before=asked.stripe_cursor(),
        status=asked.status(PAYOUT_STATUSES),
    )
    return body.answer(PayoutPage(found, Query.next_stripe_cursor(found[-1].id) if has_more else None))


@ROUTES.operation(
    "GET",
    "/v1/payouts/{payout_id:str}",
    {200: Answer(Payout, {"arrived": examples.PAYOUT, "came back": examples.PAYOUT_FAILED})},
    problems=("not-found",),
    scope=Scope.LEDGER_READ,
)
async def get_payout(request: AnyRequest) -> ASGIResponse:
    """One payout, as it is now. A paid one may still fail, some days later."""
    payout_id = stripe_id_in_path(request, "payout_id")
    return body.answer(await payouts.get(resources_of(request).engine, caller_of(request).account_id, payout_id))


@ROUTES.operation(
    "GET",
    "/v1/payouts/{payout_id:str}/entries",
    {200: Answer(PayoutEntryPage, {"a charge and a refund": examples.PAYOUT_ENTRIES})},
    parameters=_PAGED,
    problems=("not-found",),
    scope=Scope.LEDGER_READ,
)
async def list_payout_entries(request: AnyRequest) -> ASGIResponse:
    """List what is in a payout, newest first.

    Empty until Stripe has reconciled the payout, and for one that was made by hand, of which Stripe cannot say it.
    """
    asked = Query.of(request, *_PAGED)
    engine, account_id = resources_of(request).engine, caller_of(request).account_id
    payout = await payouts.get(engine, account_id, stripe_id_in_path(request, "payout_id"))
    found, has_more = await payouts.entries(engine, payout.id, limit=asked.limit(), before=asked.stripe_cursor())
    last = Query.next_stripe_cursor(found[-1].balance_transaction) if has_more else None
    return body.answer(PayoutEntryPage(found, last))
