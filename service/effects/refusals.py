"""Whose fault a 400 or 404 of Stripe is: this order's, or ours (R33). Pure.

A refusal of our request is not a refusal of the order: what every order would be told fails none of them. The codes
are those that the installed SDK lists; one that it adds is unknown here until it is judged, and a test says so.
"""

import re
from enum import Enum

from service.stripe_gateway.marks import PREFIX
from service.stripe_gateway.objects import ErrorBody
from service.stripe_gateway.permissions import lacking


class Fault(Enum):
    """Whose fault a refusal is; the value stands in the charge's history.

    ORDER: its own data, or its card: definitive. FORM: of our request, every order would be refused alike. ACCOUNT:
    our account, key or settings at Stripe. UNKNOWN: nobody can tell; no creation of a PaymentIntent should bring it.
    """

    ORDER = "the order"
    FORM = "our request"
    ACCOUNT = "our account"
    UNKNOWN = "unknown"


# What the order itself says. A refusal that names one of these is about this order, whatever its code.
_OF_ORDER = re.compile(rf"(payment_method|customer|amount|currency|description|metadata\[(?!{PREFIX})[^\]]*\])\Z")
# These speak of a parameter's name, not of its value: it is our code that chose the name.
_NAMES = frozenset({"parameter_unknown"})
_DROPPED = "_no_longer_supported"  # how Stripe names what a newer version of its API does not take any more
# Refusals without a code, known by their text: the version of the API, and the form of the idempotency key.
_OUR_HEADERS = re.compile(r"Invalid Stripe API version|.*idempoten(cy|t)[ -]key", re.IGNORECASE)
_PARAM = re.compile(r"[a-z0-9_\[\]]{1,80}\Z")


def fault_of(error: ErrorBody | None) -> Fault:
    """Whose fault this refusal is. What cannot be told fails no order."""
    if error is None:
        return Fault.UNKNOWN
    code, param = error.code or "", error.param or ""
    if code in _NAMES or code.endswith(_DROPPED):
        return Fault.FORM
    if error.type == "card_error" or _OF_ORDER.match(param):
        return Fault.ORDER
    if not code and _OUR_HEADERS.match(error.message or ""):
        return Fault.FORM
    return FAULTS.get(code, Fault.UNKNOWN)


def reason_of(word: str, error: ErrorBody | None) -> str:
    """The refusal in words for logs and operators: the answer's word, and the name of the parameter where it has one.

    Names only: Stripe's messages may repeat what a customer wrote.
    """
    if error is not None and (names := lacking(403 if word.startswith("403") else None, error.message)):
        return f"{word}: the key lacks {', '.join(names)}"
    param = error.param if error else None
    return f"{word} ({param})" if param and _PARAM.match(param) else word


_ORDER = """
account_closed account_number_invalid acss_debit_session_incomplete amount_too_large amount_too_small approval_required
authentication_failure authentication_required bank_account_bad_routing_numbers bank_account_declined
bank_account_exists bank_account_restricted bank_account_unusable bank_account_unverified
bank_account_verification_failed billing_invalid_mandate card_decline_rate_limit_exceeded card_declined
cardholder_phone_number_required charge_exceeds_source_limit charge_exceeds_transaction_limit
clearing_code_unsupported country_code_invalid customer_max_payment_methods customer_tax_location_invalid
debit_not_authorized email_invalid expired_card expired_payment_method incorrect_address incorrect_cvc
incorrect_number incorrect_postal_code incorrect_zip india_recurring_payment_mandate_canceled insufficient_funds
invalid_card_type invalid_charge_amount invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number
invalid_source_usage missing no_account payment_intent_action_required payment_intent_authentication_failure
payment_intent_incompatible_payment_method payment_intent_konbini_rejected_confirmation_number
payment_intent_mandate_invalid payment_intent_payment_attempt_expired payment_intent_payment_attempt_failed
payment_method_bank_account_already_verified payment_method_bank_account_blocked
payment_method_billing_details_address_missing payment_method_currency_mismatch payment_method_customer_decline
payment_method_invalid_parameter payment_method_invalid_parameter_testmode payment_method_microdeposit_failed
payment_method_microdeposit_processing_error payment_method_microdeposit_verification_amounts_invalid
payment_method_microdeposit_verification_amounts_mismatch
payment_method_microdeposit_verification_attempts_exceeded
payment_method_microdeposit_verification_descriptor_code_mismatch payment_method_microdeposit_verification_timeout
payment_method_not_available payment_method_provider_decline payment_method_provider_timeout
payment_method_restricted payment_method_unexpected_state payment_method_unsupported_type postal_code_invalid
processing_error refer_to_customer routing_number_invalid sepa_unsupported_account
three_d_secure_authentication_not_supported three_d_secure_authentication_upstream_error token_already_used
token_card_network_invalid token_in_use
"""

_FORM = """
parameter_invalid_empty parameter_invalid_integer parameter_invalid_string_blank parameter_invalid_string_empty
parameter_missing parameter_unknown parameters_exclusive payment_evaluation_on_api_version_not_supported
"""

_ACCOUNT = """
account_country_invalid_address account_error_country_change_requires_additional_steps account_invalid
account_token_required_for_v2_account alipay_upgrade_required api_key_expired application_fees_not_allowed
balance_insufficient bitcoin_upgrade_required capability_not_active country_unsupported livemode_mismatch
not_allowed_on_standard_account ownership_declaration_not_allowed payment_method_configuration_failures
payment_method_unactivated platform_account_required platform_api_key_expired progressive_onboarding_limit_exceeded
secret_key_required stripe_tax_inactive testmode_charges_only tls_version_unsupported transfers_not_allowed
"""

_UNKNOWN = """
account_information_mismatch action_blocked anomalous_money_movement_request balance_invalid_parameter
capture_charge_authorization_expired capture_unauthorized_payment charge_already_captured charge_already_refunded
charge_disputed charge_expired_for_capture charge_invalid_parameter charge_not_refundable coupon_expired
customer_max_subscriptions customer_session_expired dispute_evidence_page_limit_exceeded failed_tax_calculation
financial_account_balance_does_not_support_currency financial_account_capability_not_enabled
financial_account_capability_restricted financial_connections_account_inactive
financial_connections_account_pending_account_numbers financial_connections_account_unavailable_account_numbers
financial_connections_consent_locale_invalid financial_connections_consent_locale_unsupported
financial_connections_no_successful_transaction_refresh forwarding_api_inactive forwarding_api_invalid_parameter
forwarding_api_retryable_upstream_error forwarding_api_upstream_connection_error
forwarding_api_upstream_connection_timeout forwarding_api_upstream_error idempotency_key_in_use
instant_payouts_config_disabled instant_payouts_currency_disabled instant_payouts_limit_exceeded
instant_payouts_unsupported intent_invalid_state intent_verification_method_missing
invalid_canceled_subscription_fields invalid_characters invalid_mandate_reference_prefix_format invalid_tax_location
invoice_no_customer_line_items invoice_no_payment_method_types invoice_no_subscription_line_items
invoice_not_editable invoice_on_behalf_of_not_editable invoice_payment_intent_requires_action invoice_upcoming_none
lock_timeout out_of_inventory payment_intent_invalid_parameter payment_intent_rate_limit_exceeded
payment_intent_unexpected_state payout_reconciliation_not_ready payouts_limit_exceeded payouts_not_allowed
product_inactive rate_limit refund_disputed_payment request_blocked resource_already_exists resource_missing
return_intent_already_processed service_period_coupon_with_metered_tiered_item_unsupported setup_attempt_failed
setup_intent_authentication_failure setup_intent_invalid_parameter setup_intent_mandate_invalid
setup_intent_mobile_wallet_unsupported setup_intent_setup_attempt_expired setup_intent_unexpected_state
shipping_address_invalid shipping_calculation_failed siret_invalid sku_inactive smart_disputes_not_available
state_unsupported status_transition_invalid storer_capability_missing storer_capability_not_active
subscription_update_trial_after_billing_cycle_anchor tax_id_invalid tax_id_prohibited taxes_calculation_failed
terminal_location_country_unsupported terminal_reader_busy terminal_reader_hardware_fault
terminal_reader_invalid_location_for_activation terminal_reader_invalid_location_for_payment terminal_reader_offline
terminal_reader_timeout transfer_source_balance_parameters_mismatch url_invalid
"""

# One code, one fault.
FAULTS: dict[str, Fault] = {
    code: fault
    for fault, codes in (
        (Fault.ORDER, _ORDER),
        (Fault.FORM, _FORM),
        (Fault.ACCOUNT, _ACCOUNT),
        (Fault.UNKNOWN, _UNKNOWN),
    )
    for code in codes.split()
}
