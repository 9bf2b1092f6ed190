"""Where Stripe takes what we send: its routes, and the name under which each route's rate is counted. Pure."""

PAYMENT_INTENTS = "/v1/payment_intents"
REFUNDS = "/v1/refunds"
CHARGES = "/v1/charges"
EVENTS = "/v1/events"
WEBHOOK_ENDPOINTS = "/v1/webhook_endpoints"
EVENT_DESTINATIONS = "/v2/core/event_destinations"
BALANCE_TRANSACTIONS = "/v1/balance_transactions"
BALANCE = "/v1/balance"
DISPUTES = "/v1/disputes"
FRAUD_WARNINGS = "/v1/radar/early_fraud_warnings"
PAYOUTS = "/v1/payouts"


def payment_intent(intent_id: str) -> str:
    """Where one PaymentIntent is read."""
    return f"{PAYMENT_INTENTS}/{intent_id}"


def capture(intent_id: str) -> str:
    """Where the money that a PaymentIntent holds is taken."""
    return f"{payment_intent(intent_id)}/capture"


def cancel(intent_id: str) -> str:
    """Where a PaymentIntent is canceled."""
    return f"{payment_intent(intent_id)}/cancel"


def charge(charge_id: str) -> str:
    """Where one charge is read."""
    return f"{CHARGES}/{charge_id}"


def refund(refund_id: str) -> str:
    """Where one refund is read."""
    return f"{REFUNDS}/{refund_id}"


def balance_transaction(transaction_id: str) -> str:
    """Where one balance transaction is read."""
    return f"{BALANCE_TRANSACTIONS}/{transaction_id}"


def dispute(dispute_id: str) -> str:
    """Where one dispute is read."""
    return f"{DISPUTES}/{dispute_id}"


def fraud_warning(warning_id: str) -> str:
    """Where one early fraud warning is read."""
    return f"{FRAUD_WARNINGS}/{warning_id}"


def payout(payout_id: str) -> str:
    """Where one payout is read."""
    return f"{PAYOUTS}/{payout_id}"


def endpoint(method: str, path: str) -> str:
    """The route without the ids in it, for its rate: `post_payment_intent_cancel`, `get_refunds`."""
    kind, *of_one = path.removeprefix("/v1/").removeprefix("radar/").removeprefix("/v2/core/").split("/")
    action = of_one[1:]
    return "_".join([method, kind.removesuffix("s") if of_one else kind, *action])
