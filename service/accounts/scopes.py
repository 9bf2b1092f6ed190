"""What a key may be used for. Each route below /v1 asks for one scope. Pure."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """A right. `admin` is every right there is, also those that come later."""

    ORDERS_WRITE = "orders:write"
    ORDERS_READ = "orders:read"
    REFUNDS_WRITE = "refunds:write"
    LEDGER_READ = "ledger:read"
    RECONCILE_READ = "reconcile:read"
    OPS_READ = "ops:read"
    OPS_WRITE = "ops:write"
    ADMIN = "admin"


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Every scope that these are good for."""
    found = frozenset(scopes)
    return frozenset(Scope) if Scope.ADMIN in found else found
