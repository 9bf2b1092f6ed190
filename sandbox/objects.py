"""Stripe's objects, as they look in an answer: field for field, in Stripe's names.

They are stored as the JSON they are answered with, so a replay or a list never renders them differently.
"""

from typing import Any

import msgspec

Json = dict[str, Any]
Ids = list[str]


def nobody() -> Json:
    """Billing details that nobody gave."""
    return {"address": None, "email": None, "name": None, "phone": None}


class PaymentIntent(msgspec.Struct, kw_only=True):
    """One attempt to collect `amount`; its status moves by the table in `intents.py`."""

    id: str
    object: str = "payment_intent"
    amount: int
    amount_capturable: int = 0
    amount_details: Json = msgspec.field(default_factory=lambda: {"tip": {}})
    amount_received: int = 0
    application: None = None
    application_fee_amount: None = None
    automatic_payment_methods: Json | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    capture_method: str = "automatic_async"
    client_secret: str
    confirmation_method: str = "automatic"
    created: int
    currency: str
    customer: str | None = None
    description: str | None = None
    last_payment_error: Json | None = None
    latest_charge: str | None = None
    livemode: bool = False
    metadata: dict[str, str]
    next_action: Json | None = None
    on_behalf_of: None = None
    payment_method: str | None = None
    payment_method_options: Json = {}
    payment_method_types: Ids
    processing: Json | None = None
    receipt_email: str | None = None
    setup_future_usage: str | None = None
    shipping: Json | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: str
    transfer_data: None = None
    transfer_group: None = None
    allowed_payment_method_types: Ids | None = None
    excluded_payment_method_types: Ids | None = None
    payment_details: Json | None = None


class Charge(msgspec.Struct, kw_only=True):
    """What the card network said. `balance_transaction` stays null until the fee is known."""

    id: str
    object: str = "charge"
    amount: int
    amount_captured: int
    amount_refunded: int = 0
    application: None = None
    application_fee: None = None
    balance_transaction: str | None = None
    billing_details: Json = msgspec.field(default_factory=nobody)
    calculated_statement_descriptor: str | None = None
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
    invoice: None = None
    livemode: bool = False
    metadata: dict[str, str]
    outcome: Json
    paid: bool
    payment_intent: str
    payment_method: str
    payment_method_details: Json
    receipt_email: str | None = None
    receipt_number: None = None
    receipt_url: str | None = None
    refunded: bool = False
    status: str
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    shipping: Json | None = None


class BalanceTransaction(msgspec.Struct, kw_only=True):
    """A movement of the Stripe balance: `net = amount - fee`, in the charge's own currency."""

    id: str
    object: str = "balance_transaction"
    amount: int
    available_on: int
    balance_type: str = "payments"
    created: int
    currency: str
    description: str | None = None
    exchange_rate: None = None
    fee: int
    fee_details: list[Json]
    net: int
    reporting_category: str = "charge"
    source: str
    status: str = "pending"
    type: str = "charge"


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


encode = msgspec.json.Encoder().encode
decode_intent = msgspec.json.Decoder(PaymentIntent).decode
decode_charge = msgspec.json.Decoder(Charge).decode
decode_balance_transaction = msgspec.json.Decoder(BalanceTransaction).decode
