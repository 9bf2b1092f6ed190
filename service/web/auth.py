"""Authentication, the scope of each route, and the rate limit of reads, for every path below /v1."""

from litestar import HttpMethod
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as AsgiScope

from service.accounts import Caller, Scope, WrongKey
from service.foundation.addresses.networks import check_networks
from service.foundation.errors import Forbidden, TooManyRequests
from service.web.client_address import client_of
from service.web.operation import AnyRequest
from service.web.resources import Resources

_TOO_MANY_WRONG = "Too many wrong API keys came from this address. A right one is served all the same."
SCOPE = "eo_scope"  # in the options of each handler below /v1
_READS = (HttpMethod.GET, HttpMethod.HEAD)


class Authentication(ASGIMiddleware):
    """Leaves the caller in the scope. Raises as `caller_with`.

    It is a middleware and no guard, because Litestar copies the whole handler for each call of a guard. Reads are
    counted against the key's rate limit here; a handler that stores orders counts only those that are new (R7).
    """

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Handle one request."""
        method = scope.get("method")
        if method != HttpMethod.OPTIONS:  # whose answer names the methods of a path and nothing else
            resources: Resources = scope["litestar_app"].state["resources"]
            scope["auth"] = caller = await caller_with(resources, scope, scope["route_handler"].opt[SCOPE])
            if resources.limit is not None and method in _READS:
                await resources.limit.admit(caller)
        await next_app(scope, receive, send)


async def caller_with(resources: Resources, scope: AsgiScope, wanted: Scope) -> Caller:
    """The caller of a request, whose key has this scope.

    Raises Unauthorized, Forbidden, TooManyRequests after many wrong keys, or Unavailable where no key can be checked.
    """
    caller = await _caller(resources, scope)
    if wanted not in caller.scopes:
        raise Forbidden(wanted)
    return caller


async def _caller(resources: Resources, scope: AsgiScope) -> Caller:
    try:
        return await resources.keys.caller(scope["headers"])
    except WrongKey as wrong:
        peer = (scope.get("client") or (None,))[0]
        host = client_of(peer, scope["headers"], check_networks(resources.settings.trusted_proxies))
        if wait_s := await resources.wrong_keys.note(host):
            raise TooManyRequests(_TOO_MANY_WRONG, retry_after_s=wait_s) from wrong
        raise


def caller_of(request: AnyRequest) -> Caller:
    """The caller that `Authentication` left in the request's scope."""
    return request.scope["auth"]  # type: ignore[no-any-return]
