"""Authentication, and the rate limit of reads, for every path below /v1."""

from litestar import HttpMethod
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from service.accounts import Caller, WrongKey
from service.foundation.errors import TooManyRequests
from service.web.operation import AnyRequest
from service.web.resources import Resources

_TOO_MANY_WRONG = "Too many wrong API keys came from this address. A right one is served all the same."
_READS = (HttpMethod.GET, HttpMethod.HEAD)


class Authentication(ASGIMiddleware):
    """Leaves the caller in the scope. Raises Unauthorized, TooManyRequests, or Unavailable where no key can be checked.

    It is a middleware and no guard, because Litestar copies the whole handler for each call of a guard. Reads are
    counted against the key's rate limit here; a handler that stores orders counts only those that are new (R7).
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Handle one request."""
        method = scope.get("method")
        if method != HttpMethod.OPTIONS:  # whose answer names the methods of a path and nothing else
            resources: Resources = scope["litestar_app"].state["resources"]
            scope["auth"] = caller = await checked_caller(resources, scope)
            if resources.limit is not None and method in _READS:
                await resources.limit.admit(caller.key_id)
        await next_app(scope, receive, send)


async def checked_caller(resources: Resources, scope: Scope) -> Caller:
    """The caller that the request's key names. Raises Unauthorized, TooManyRequests or Unavailable."""
    try:
        return await resources.keys.caller(scope["headers"])
    except WrongKey as wrong:
        if wait_s := resources.wrong_keys.note((scope.get("client") or (None,))[0]):
            raise TooManyRequests(_TOO_MANY_WRONG, retry_after_s=wait_s) from wrong
        raise


def caller_of(request: AnyRequest) -> Caller:
    """The caller that `Authentication` left in the request's scope."""
    return request.scope["auth"]  # type: ignore[no-any-return]
