"""The routes of Stripe's that the sandbox has, and what answers each."""

from collections.abc import Callable

from sandbox import captures, disputes, intents, lists, payouts, refunds
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
    "POST payouts": payouts.create,
    "GET payouts": lists.PAYOUTS.list,
    "GET payouts/:id": lists.PAYOUTS.retrieve,
    "POST payouts/:id": payouts.update,
    "POST payouts/:id/cancel": payouts.cancel,
    "GET balance_transactions": lists.balance_transactions,
    "GET balance_transactions/:id": lists.BALANCE_TRANSACTIONS.retrieve,
    "GET events": lists.EVENTS.list,
    "GET events/:id": lists.EVENTS.retrieve,
}
