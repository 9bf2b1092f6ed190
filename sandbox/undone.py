"""What Stripe does and the sandbox does not; its errors say so, so that none looks like Stripe's own refusal."""

from sandbox.words import words

_NONE: frozenset[str] = frozenset()
_CARDS = "payment_method_options.card"
# Parameters that create and confirm share; a name stands for everything inside it.
_PAYING = words(
    f"""amount_details.enforce_arithmetic_validation amount_details.line_items confirmation_token hooks mandate
    mandate_data payment_method_data radar_options {_CARDS}.capture_method {_CARDS}.cvc_token {_CARDS}.installments
    {_CARDS}.mandate_options {_CARDS}.moto {_CARDS}.three_d_secure"""
)
PARAMETERS: dict[str, frozenset[str]] = {
    "POST payment_intents": _PAYING
    | words(
        """application_fee_amount customer_account on_behalf_of payment_method_configuration transfer_data
        transfer_group"""
    ),
    "POST payment_intents/:id/confirm": _PAYING,
    "POST payment_intents/:id/capture": words(
        """amount_details.enforce_arithmetic_validation amount_details.line_items application_fee_amount hooks
        transfer_data"""
    ),
    "POST refunds": words("currency customer instructions_email origin refund_application_fee reverse_transfer"),
    "POST disputes/:id": words(
        """evidence.appeal evidence.enhanced_evidence evidence.cancellation_policy evidence.customer_communication
        evidence.customer_signature evidence.duplicate_charge_documentation evidence.receipt evidence.refund_policy
        evidence.service_documentation evidence.shipping_documentation evidence.uncategorized_file"""
    ),
    "POST payouts": words("payout_method"),
    "GET payment_intents": words("customer_account"),
    "GET charges": words("transfer_group"),
    "POST webhook_endpoints": words("connect"),
    "POST v2/core/event_destinations": words("amazon_eventbridge azure_event_grid"),
}
# Values of parameters that it does otherwise.
VALUES: dict[str, frozenset[str]] = {
    "final_capture": words("false"),
    "method": words("instant"),
    "source_type": words("bank_account fpx"),
}
# Properties that Stripe can expand. Behind those that are always null here stands nothing, so they are accepted.
EXPANSIONS: dict[str, frozenset[str]] = {
    "payment_intent": words("customer payment_method"),
    "charge": words("customer"),
    "refund": words("customer payment_method"),
    "payout": words("destination"),
}


def undone(endpoint: str, path: str) -> tuple[bool, frozenset[str]]:
    """Whether the parameter (such as `amount_details.line_items`) is not done, and which of its values are not."""
    options, _, kind = path.partition(".")
    other_than_card = options == "payment_method_options" and kind and kind.partition(".")[0] != "card"
    is_undone = path in PARAMETERS.get(endpoint, _NONE) or (bool(other_than_card) and "." not in kind)
    return is_undone, VALUES.get(path, _NONE)
