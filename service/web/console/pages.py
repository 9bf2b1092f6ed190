"""Every page of the console. A new module of pages is named here, at its place in the list of pages."""

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler

from service.foundation.settings import Settings
from service.web.console import door, overview, streams
from service.web.console.frame import ROUTES

__all__ = ["MODULES", "ROUTES", "handlers"]

MODULES = (overview, door, streams)
_METHODS = {"GET": [HttpMethod.GET, HttpMethod.HEAD], "POST": [HttpMethod.POST]}


def handlers(settings: Settings) -> list[HTTPRouteHandler]:
    """The framework's handlers of all pages and actions that this installation has."""
    return [
        route(one.path, http_method=_METHODS[one.method], status_code=None if one.method == "GET" else 200)(one.handler)
        for one in ROUTES
        if settings.stripe_is_sandbox or not one.sandbox_only
    ]
