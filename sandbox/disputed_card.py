"""What a dispute shows of the card, and of the evidence that nobody has sent yet."""

from sandbox.cards import CARDS
from sandbox.objects import Charge, Json
from sandbox.state import Sandbox
from sandbox.words import words

# Recorded: the end of the eighth day after.
ANSWER_WITHIN_DAYS = 8
DAY_S = 86_400
# Evidence that is text; Stripe's other fields are files, and files are not done.
TEXTS = words(
    """access_activity_log billing_address cancellation_policy_disclosure cancellation_rebuttal customer_email_address
    customer_name customer_purchase_ip duplicate_charge_explanation duplicate_charge_id product_description
    refund_policy_disclosure refund_refusal_explanation service_date shipping_address shipping_carrier shipping_date
    shipping_tracking_number uncategorized_text"""
)
FILES = words(
    """cancellation_policy customer_communication customer_signature duplicate_charge_documentation receipt
    refund_policy service_documentation shipping_documentation uncategorized_file"""
)
NO_EVIDENCE: Json = dict.fromkeys(sorted(TEXTS | FILES)) | {"enhanced_evidence": {}}
# Visa's codes, as recorded for the three test cards and listed by Stripe for the others.
_CODES = {
    "credit_not_processed": "13.6",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
}
_CASES = {"warning_needs_response": "inquiry", "prevented": "resolution"}
_INQUIRY_CODE = "10"


def of(sandbox: Sandbox, charge: Charge, status: str, reason: str) -> Json:
    """The dispute's `payment_method_details`."""
    (card,) = sandbox.store.row("SELECT card FROM payment_methods WHERE id = ?", (charge.payment_method,))
    brand, case = CARDS[card].brand, _CASES.get(status, "chargeback")
    shown = {
        "brand": brand,
        "case_type": case,
        "network": brand,
        "network_reason_code": _INQUIRY_CODE if case == "inquiry" else _CODES.get(reason),
    }
    return {"card": shown, "type": "card"}


def nothing_sent(created: int) -> Json:
    """The dispute's `evidence_details` at its beginning."""
    return {
        "due_by": (created // DAY_S + ANSWER_WITHIN_DAYS + 1) * DAY_S - 1,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }
