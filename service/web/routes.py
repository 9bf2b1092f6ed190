"""Every operation of the API. A new module of handlers is named here."""

from service.web import health, ledger, order_batches, order_reads, orders
from service.web.operation import Operation

_MODULES = (orders, order_batches, order_reads, ledger, health)  # in the order of the document
OPERATIONS: tuple[Operation, ...] = tuple(operation for module in _MODULES for operation in module.ROUTES.operations)
