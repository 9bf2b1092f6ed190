"""The routes of Stripe's that the sandbox has, and what answers each."""

from collections.abc import Callable

from sandbox import captures, disputes, endpoints, event_destinations, intents, lists, refunds, thin
from sandbox.state import Call, Execution, Sandbox

ROUTES: dict[str, Callable[[Sandbox, Call], Execution]] = {
    "GET account": lists.account_itself,
    "GET balance": lists.balance_now,
    "POST payment_intents": intents.create,
    "GET payment_intents": lists.INTENTS.list,
    "GET payment_intents/:id": intents.retrieve,
    "POST payment_intents/:id/confirm": intents.confirm,
    "POST payment_intents/:id/cancel": intents.cancel,
    "POST payment_intents/:id/capture": captures.capture,
    "GET charges": lists.CHARGES.list,
    "GET charges/:id": lists.CHARGES.retrieve,
    "POST refunds": refunds.create,
    "GET refunds": lists.refunds,
    "GET refunds/:id": lists.REFUNDS.retrieve,
    "POST refunds/:id": refunds.update,
    "POST refunds/:id/cancel": refunds.cancel,
    "GET disputes": lists.DISPUTES.list,
    "GET disputes/:id": lists.DISPUTES.retrieve,
    "POST disputes/:id": disputes.update,
    "POST disputes/:id/close": disputes.close,
    "GET radar/early_fraud_warnings": lists.WARNINGS.list,
    "GET radar/early_fraud_warnings/:id": lists.WARNINGS.retrieve,
    "GET balance_transactions": lists.BALANCE_TRANSACTIONS.list,
    "GET balance_transactions/:id": lists.BALANCE_TRANSACTIONS.retrieve,
    "GET events": lists.events_told,
    "GET events/:id": lists.EVENTS.retrieve,
    "POST webhook_endpoints": endpoints.create,
    "GET webhook_endpoints": lists.WEBHOOK_ENDPOINTS.list,
    "GET webhook_endpoints/:id": endpoints.retrieve,
    "POST webhook_endpoints/:id": endpoints.update,
    "DELETE webhook_endpoints/:id": endpoints.delete,
    "POST v2/core/event_destinations": event_destinations.create,
    "GET v2/core/event_destinations": event_destinations.listed,
    "GET v2/core/event_destinations/:id": event_destinations.retrieve,
    "POST v2/core/event_destinations/:id": event_destinations.update,
    "POST v2/core/event_destinations/:id/enable": event_destinations.enable,
    "POST v2/core/event_destinations/:id/disable": event_destinations.disable,
    "DELETE v2/core/event_destinations/:id": event_destinations.delete,
    "GET v2/core/events": thin.listed,
    "GET v2/core/events/:id": thin.retrieve,
}
