"""Stripe's objects, as they look in an answer: field for field, in Stripe's names.

They are stored as the JSON they are answered with, so a replay or a list never renders them differently.
"""

from typing import Any

import msgspec

Json = dict[str, Any]
Ids = list[str]


encode = msgspec.json.Encoder().encode

# Billing details that nobody gave. Nothing changes what these two hold: every object shares them.
NOBODY: Json = {
    "address": {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None},
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}
CARD_OPTIONS: Json = {
    "card": {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
}


_NOBODY = msgspec.Raw(encode(NOBODY))


class PaymentIntent(msgspec.Struct, kw_only=True):
    """One attempt to collect `amount`; its status moves by the table in `intents.py`."""

    id: str
    object: str = "payment_intent"
    allowed_payment_method_types: Ids | None = None
    amount: int
    amount_capturable: int = 0
    amount_details: Json = msgspec.field(default_factory=lambda: {"tip": {}})
    amount_received: int = 0
    application: None = None
    application_fee_amount: int | None = None
    automatic_payment_methods: Json | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    capture_method: str = "automatic_async"
    client_secret: str
    confirmation_method: str = "automatic"
    created: int
    currency: str
    customer: str | None = None
    customer_account: str | None = None
    description: str | None = None
    excluded_payment_method_types: Ids | None = None
    last_payment_error: Json | None = None
    latest_charge: str | None = None
    livemode: bool = False
    managed_payments: Json = msgspec.field(default_factory=lambda: {"enabled": False})
    metadata: dict[str, str]
    next_action: Json | None = None
    on_behalf_of: str | None = None
    payment_details: Json | msgspec.UnsetType = msgspec.UNSET
    payment_method: str | None = None
    payment_method_configuration_details: Json | None = None
    payment_method_options: Json = msgspec.field(default_factory=lambda: CARD_OPTIONS)
    payment_method_types: Ids
    payment_record: None = None
    processing: Json | None = None
    receipt_email: str | None = None
    review: None = None
    setup_future_usage: str | None = None
    shipping: Json | None = None
    source: None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: str
    transfer_data: Json | None = None
    transfer_group: str | None = None


class Charge(msgspec.Struct, kw_only=True):
    """The result of one attempt at the card network. `balance_transaction` is null until the fee is known.

    Raw are the parts that are written once and never read here: they are encoded once, and copied from then on.
    """

    id: str
    object: str = "charge"
    amount: int
    amount_captured: int
    amount_refunded: int = 0
    application: None = None
    application_fee: None = None
    application_fee_amount: int | None = None
    balance_transaction: str | None = None
    billing_details: msgspec.Raw = _NOBODY
    calculated_statement_descriptor: str
    captured: bool
    created: int
    currency: str
    customer: str | None = None
    description: str | None = None
    disputed: bool = False
    failure_balance_transaction: None = None
    failure_code: str | None = None
    failure_message: str | None = None
    fraud_details: Json = {}
    livemode: bool = False
    metadata: dict[str, str]
    on_behalf_of: str | None = None
    outcome: msgspec.Raw
    paid: bool
    payment_intent: str
    payment_method: str
    payment_method_details: msgspec.Raw
    radar_options: Json = {}
    receipt_email: str | None = None
    receipt_number: None = None
    receipt_url: str | None = None
    refunded: bool = False
    review: None = None
    shipping: Json | None = None
    source: None = None
    source_transfer: None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: str
    transfer_data: Json | None = None
    transfer_group: str | None = None


class Refund(msgspec.Struct, kw_only=True):
    """Money on its way back to the customer. What is unset is left out of the answer, as at Stripe."""

    id: str
    object: str = "refund"
    amount: int
    balance_transaction: str | None = None
    charge: str
    created: int
    currency: str
    customer: str | None = None
    customer_account: None = None
    destination_details: Json
    failure_balance_transaction: str | msgspec.UnsetType = msgspec.UNSET
    failure_reason: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str]
    next_action: Json | msgspec.UnsetType = msgspec.UNSET
    payment_intent: str
    payment_method: str
    pending_reason: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | None = None
    receipt_number: None = None
    source_transfer_reversal: None = None
    status: str
    transfer_reversal: None = None


class BalanceTransaction(msgspec.Struct, kw_only=True):
    """A movement of the Stripe balance: `net = amount - fee`, in the currency of the balance."""

    id: str
    object: str = "balance_transaction"
    amount: int
    available_on: int
    balance_type: str = "payments"
    created: int
    currency: str
    description: str | None = None
    exchange_rate: float | None = None
    fee: int
    fee_details: list[Json]
    net: int
    reporting_category: str = "charge"
    source: str | None
    status: str = "pending"
    type: str = "charge"


class Dispute(msgspec.Struct, kw_only=True):
    """What the owner of a card says at the bank against a charge; its status moves by the table in `disputing.py`."""

    id: str
    object: str = "dispute"
    amount: int
    balance_transactions: list[BalanceTransaction] = []
    charge: str
    created: int
    currency: str
    enhanced_eligibility_types: Ids = []
    evidence: Json
    evidence_details: Json
    intended_submission_method: str | None = None
    is_charge_refundable: bool
    livemode: bool = False
    metadata: dict[str, str] = {}
    network_reason_code: str | None
    payment_intent: str
    payment_method_details: Json
    reason: str
    status: str


class EarlyFraudWarning(msgspec.Struct, kw_only=True):
    """What a card's bank believes to be fraud. `actionable`: a full refund now would still prevent a dispute."""

    id: str
    object: str = "radar.early_fraud_warning"
    actionable: bool = True
    charge: str
    created: int
    fraud_type: str
    livemode: bool = False
    payment_intent: str


class Payout(msgspec.Struct, kw_only=True):
    """Money on its way from the balance to the bank; a negative amount comes from there."""

    id: str
    object: str = "payout"
    amount: int
    application_fee: None = None
    application_fee_amount: None = None
    arrival_date: int
    automatic: bool
    balance_transaction: str | None = None
    created: int
    currency: str
    description: str | None = None
    destination: str
    failure_balance_transaction: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    livemode: bool = False
    metadata: dict[str, str] = {}
    method: str = "standard"
    original_payout: None = None
    payout_method: None = None
    reconciliation_status: str
    reversed_by: None = None
    source_type: str = "card"
    statement_descriptor: str | None = None
    status: str
    trace_id: Json
    type: str = "bank_account"


class Event(msgspec.Struct, kw_only=True):
    """What happened, with the object as it was then."""

    id: str
    object: str = "event"
    api_version: str
    created: int
    data: dict[str, msgspec.Raw]
    livemode: bool = False
    pending_webhooks: int = 0
    request: dict[str, str | None]
    type: str


decode_intent = msgspec.json.Decoder(PaymentIntent).decode
decode_charge = msgspec.json.Decoder(Charge).decode
decode_refund = msgspec.json.Decoder(Refund).decode
decode_balance_transaction = msgspec.json.Decoder(BalanceTransaction).decode
decode_dispute = msgspec.json.Decoder(Dispute).decode
decode_warning = msgspec.json.Decoder(EarlyFraudWarning).decode
decode_payout = msgspec.json.Decoder(Payout).decode
