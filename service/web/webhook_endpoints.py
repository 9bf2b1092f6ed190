"""Webhook endpoints: where a producer is told what happens, so that it need not poll."""

from collections.abc import Sequence

from litestar.response.base import ASGIResponse

from service.accounts.scopes import Scope
from service.notices import endpoints
from service.notices.endpoints import WebhookEndpoint, WebhookEndpointPage, WebhookEndpointRequest
from service.orders.keys import key_of_headers
from service.web import body, examples, keyed, query
from service.web.auth import caller_of
from service.web.operation import Answer, AnyRequest, Body, Group, id_in_path
from service.web.query import Query
from service.web.resources import resources_of

ROUTES = Group("webhook endpoints")

_PAGE = (query.LIMIT, query.CURSOR)
_ONE = "/v1/webhook_endpoints/{endpoint_id:uuid}"
_KEY_PROBLEMS = ("idempotency-key-missing", *keyed.MALFORMED_KEY, "conflict", "idempotency-key-reused", "not-confirmed")


@ROUTES.operation(
    "POST",
    "/v1/webhook_endpoints",
    {201: Answer(WebhookEndpoint, {"made": examples.ENDPOINT_MADE, "a replay": examples.ENDPOINT})},
    body=Body(WebhookEndpointRequest, examples.ENDPOINT_REQUEST),
    parameters=(keyed.idempotency_key("One key, one endpoint, for ever.", example="notices-1"),),
    problems=(*_KEY_PROBLEMS, "url-refused", "string-invalid", "card-data-rejected"),
    headers=("Location", *keyed.HEADERS),
    scope=Scope.OPS_WRITE,
)
async def create_webhook_endpoint(request: AnyRequest) -> ASGIResponse:
    """Be told of these events from now on. The answer shows the secret, this once.

    Notices are signed by the Standard Webhooks scheme and come at least once, in no guaranteed order.
    """
    resources, caller = resources_of(request), caller_of(request)
    key = key_of_headers(request.scope["headers"])
    wanted = await body.read(request, WebhookEndpointRequest)
    endpoints.check_endpoint(wanted, key)
    is_replay = await endpoints.is_known(resources.engine, caller.account_id, key)
    if not is_replay:
        if resources.limit is not None:
            await resources.limit.admit(caller)
        await endpoints.check_reachable(wanted, resources.settings)
    made, replayed = await resources.operations.commit(
        lambda: endpoints.create(resources.engine, caller.account_id, key, wanted)
    )
    return body.answer(made, 201, {"Location": f"/v1/webhook_endpoints/{made.id}", **keyed.replayed(replayed)})


@ROUTES.operation(
    "GET",
    "/v1/webhook_endpoints",
    {200: Answer(WebhookEndpointPage, {"a page": examples.ENDPOINTS})},
    parameters=_PAGE,
    scope=Scope.OPS_READ,
)
async def list_webhook_endpoints(request: AnyRequest) -> ASGIResponse:
    """List the account's endpoints, newest first."""
    asked = Query.of(request, *_PAGE)
    found, has_more = await endpoints.page(
        resources_of(request).engine, caller_of(request).account_id, limit=asked.limit(), before=asked.cursor()
    )
    return _page(found, has_more=has_more)


def _page(found: Sequence[WebhookEndpoint], *, has_more: bool) -> ASGIResponse:
    return body.answer(WebhookEndpointPage(list(found), Query.next_cursor(found[-1].id) if has_more else None))


@ROUTES.operation(
    "GET",
    _ONE,
    {200: Answer(WebhookEndpoint, {"enabled": examples.ENDPOINT})},
    problems=("not-found",),
    scope=Scope.OPS_READ,
)
async def get_webhook_endpoint(request: AnyRequest) -> ASGIResponse:
    """One endpoint, without its secret."""
    found = await endpoints.get(
        resources_of(request).engine, caller_of(request).account_id, id_in_path(request, "endpoint_id")
    )
    return body.answer(found)


@ROUTES.operation("DELETE", _ONE, {204: None}, problems=("not-found",), scope=Scope.OPS_WRITE)
async def delete_webhook_endpoint(request: AnyRequest) -> ASGIResponse:
    """Send nothing to it any more; what it was still owed is dropped."""
    resources = resources_of(request)
    await endpoints.delete(resources.engine, caller_of(request).account_id, id_in_path(request, "endpoint_id"))
    return ASGIResponse(status_code=204)


@ROUTES.operation(
    "POST",
    f"{_ONE}/roll",
    {200: Answer(WebhookEndpoint, {"rolled": examples.ENDPOINT_MADE, "a replay": examples.ENDPOINT})},
    parameters=(keyed.idempotency_key("One key, one roll, for ever.", example="roll-1"),),
    problems=(*_KEY_PROBLEMS, "not-found"),
    headers=keyed.HEADERS,
    scope=Scope.OPS_WRITE,
)
async def roll_webhook_endpoint(request: AnyRequest) -> ASGIResponse:
    """Make a new secret, which the answer shows, this once. The one before signs for 24 hours, too."""
    resources, caller = resources_of(request), caller_of(request)
    key = key_of_headers(request.scope["headers"])
    if resources.limit is not None:
        await resources.limit.admit(caller)
    endpoint_id = id_in_path(request, "endpoint_id")
    rolled, replayed = await resources.operations.commit(
        lambda: endpoints.roll(resources.engine, caller.account_id, endpoint_id, key)
    )
    return body.answer(rolled, 200, keyed.replayed(replayed))
