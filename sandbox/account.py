"""The Stripe account of this sandbox: one per data file, open for charges and payouts, with no open requirements."""

from sandbox.currencies import DEFAULT
from sandbox.objects import NOBODY, Json
from sandbox.state import Sandbox

# What cardholders read; with a suffix of the payment's own it is `SANDBOX* suffix`.
DESCRIPTOR = "SANDBOX"
DESCRIPTOR_LENGTH_MAX = 22

_NOTHING_TO_DO: Json = {
    "alternatives": [],
    "current_deadline": None,
    "currently_due": [],
    "disabled_reason": None,
    "errors": [],
    "eventually_due": [],
    "past_due": [],
    "pending_verification": [],
}
_PROFILE: Json = {
    "annual_revenue": None,
    "estimated_worker_count": None,
    "mcc": "5734",
    "minority_owned_business_designation": None,
    "name": "effectively-once sandbox",
    "product_description": None,
    "specified_commercial_transactions_act_url": None,
    "support_address": NOBODY["address"],
    "support_email": None,
    "support_phone": None,
    "support_url": None,
    "url": "https://example.com",
}
_SETTINGS: Json = {
    "bacs_debit_payments": {"display_name": None, "service_user_number": None},
    "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
    "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
    "card_payments": {
        "decline_on": {"avs_failure": False, "cvc_failure": False},
        "statement_descriptor_prefix": DESCRIPTOR,
        "statement_descriptor_prefix_kana": None,
        "statement_descriptor_prefix_kanji": None,
    },
    "dashboard": {"display_name": "effectively-once sandbox", "timezone": "Etc/UTC"},
    "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": "offer"},
    "payments": {
        "statement_descriptor": DESCRIPTOR,
        "statement_descriptor_kana": None,
        "statement_descriptor_kanji": None,
        "statement_descriptor_prefix_kana": None,
        "statement_descriptor_prefix_kanji": None,
    },
    "payouts": {
        "debit_negative_balances": True,
        "schedule": {"delay_days": 2, "interval": "daily"},
        "statement_descriptor": None,
    },
    "sepa_debit_payments": {},
}


def describe(sandbox: Sandbox) -> Json:
    """The account as `GET /v1/account` answers it."""
    external = {
        "object": "list",
        "data": [],
        "has_more": False,
        "total_count": 0,
        "url": f"/v1/accounts/{sandbox.account_id}/external_accounts",
    }
    return {
        "id": sandbox.account_id,
        "object": "account",
        "business_profile": _PROFILE,
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": sandbox.created,
        "default_currency": DEFAULT,
        "details_submitted": True,
        "email": "sandbox@example.com",
        "external_accounts": external,
        "future_requirements": _NOTHING_TO_DO,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": _NOTHING_TO_DO,
        "settings": _SETTINGS,
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }


def method_configuration(sandbox: Sandbox) -> Json:
    """The account's choice of payment methods, which an intent with automatic payment methods names."""
    return {"id": sandbox.account_id.replace("acct_", "pmc_", 1), "parent": None}


def on_the_statement(suffix: str | None) -> str:
    """What the cardholder reads on the bank statement."""
    return f"{DESCRIPTOR}* {suffix}"[:DESCRIPTOR_LENGTH_MAX] if suffix else DESCRIPTOR
