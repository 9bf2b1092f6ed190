"""Every page of the console. A new module of pages is named here, and its pages at their place in `NAV`."""

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler

from service.foundation.settings import Settings
from service.web.console import (
    chaos,
    door,
    ledger,
    order_actions,
    orders,
    outbox,
    overview,
    reconciliation,
    streams,
    system,
)
from service.web.console.frame import ROUTES

__all__ = ["MODULES", "ROUTES", "handlers"]

MODULES = (overview, orders, order_actions, outbox, ledger, reconciliation, system, chaos, door, streams)
# The list of pages, in the order of how often one looks at them.
NAV = ("Overview", "Orders", "Outbox", "Parked", "Ledger", "Reconciliation", "System", "Audit", "Chaos")
ROUTES.sort(key=lambda one: NAV.index(one.nav) if one.nav in NAV else len(NAV))
_METHODS = {"GET": [HttpMethod.GET, HttpMethod.HEAD], "POST": [HttpMethod.POST]}


def handlers(settings: Settings) -> list[HTTPRouteHandler]:
    """The framework's handlers of all pages and actions that this installation has."""
    return [
        route(one.path, http_method=_METHODS[one.method], status_code=None if one.method == "GET" else 200)(one.handler)
        for one in ROUTES
        if settings.chaos_socket or not one.chaos_only
    ]
