"""Every operation of the API. A new module of handlers is named here."""

from service.web import health, ledger, orders
from service.web.operation import Operation

OPERATIONS: tuple[Operation, ...] = tuple(
    operation for module in (orders, ledger, health) for operation in module.ROUTES.operations
)
