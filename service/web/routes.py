"""Every operation of the API. A new module of handlers is named here."""

from service.web import (
    actions,
    disputes,
    health,
    inbox,
    ledger,
    order_batches,
    order_changes,
    order_reads,
    orders,
    payouts,
    refunds,
    webhook_endpoints,
)
from service.web.operation import Operation

# In the order of the document.
_MODULES = (
    orders,
    order_batches,
    order_reads,
    order_changes,
    actions,
    refunds,
    disputes,
    payouts,
    webhook_endpoints,
    ledger,
    inbox,
    health,
)
OPERATIONS: tuple[Operation, ...] = tuple(operation for module in _MODULES for operation in module.ROUTES.operations)
