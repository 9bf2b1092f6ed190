"""The ledger of the caller's account: balances, and the journal entries of an order."""

from litestar.response.base import ASGIResponse

from service import orders
from service.accounts.scopes import Scope
from service.ledger import Balance, Entry, balances, entries
from service.web import body, examples, query
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Group, ListOf
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("ledger")


@ROUTES.operation(
    "GET",
    "/v1/ledger/balances",
    {200: Answer(ListOf("Balances", Balance), {"one order and its fee": examples.BALANCES})},
    parameters=(query.AS_OF,),
    scope=Scope.LEDGER_READ,
)
async def get_balances(request: AnyRequest) -> ASGIResponse:
    """Balances per ledger account and currency."""
    as_of = Query.of(request, query.AS_OF).as_of()
    return body.answer({"data": await balances(resources_of(request).engine, caller_of(request).account_id, as_of)})


@ROUTES.operation(
    "GET",
    "/v1/ledger/entries",
    {200: Answer(ListOf("Entries", Entry), {"one charge": examples.ENTRIES})},
    parameters=(query.ORDER_ID,),
    problems=("not-found",),
    scope=Scope.LEDGER_READ,
)
async def get_entries(request: AnyRequest) -> ASGIResponse:
    """The journal entries of an order."""
    order_id = Query.of(request, query.ORDER_ID).order_id()
    engine, account_id = resources_of(request).engine, caller_of(request).account_id
    await orders.get(engine, account_id, order_id)
    return body.answer({"data": await entries(engine, account_id, order_id)})
