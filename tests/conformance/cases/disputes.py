"""Money that the customer's bank takes back: disputes, inquiries and warnings of fraud, by Stripe's test cards.

Sources: the SDK's types and their texts, Stripe's page on testing for the cards and the texts that decide, and what
others recorded in Stripe's test mode (states, balance transactions, refusals).
"""

from tests.conformance.calls import (
    CloseDispute,
    CreateRefund,
    ListDisputes,
    ListEvents,
    ListWarnings,
    RetrieveCharge,
    RetrieveDispute,
    RetrieveMovement,
    RetrieveWarning,
    UpdateDispute,
)
from tests.conformance.expectations import Filled, Only, Says, Starts, Whole
from tests.conformance.scenario import Case, Control, Do, Refusal, pay

# At Stripe the bank decides after some seconds; here it can be told to decide now.
NOW = Control("disputes/flush", {}, only_helps=True)
REFUSED = Refusal("InvalidRequestError", 400, code="charge_disputed", message=Says("has been charged back"))
CLOSED = Refusal("InvalidRequestError", 400, message=Says("already closed"))
EVIDENCE = {"has_evidence": True, "submission_count": 1}


def opened(card: str) -> list[Do | Control]:
    """A payment, and the dispute that follows on it."""
    return [
        Do("paid", pay(card)),
        NOW,
        Do("dispute", ListDisputes({"payment_intent": "{paid.id}"}), find=("payment_intent", "{paid.id}"),
           patient=True, expect={
            "object": "dispute", "amount": 1999, "currency": "usd", "charge": "{paid.latest_charge}",
            "livemode": False, "metadata": {}, "evidence_details.submission_count": 0, "created": Filled(),
            "evidence_details.due_by": Whole(1), "evidence.uncategorized_text": None,
            "payment_method_details.card.brand": "visa",
        }),
    ]  # fmt: skip


CASES = [
    Case("a disputed payment is taken from the balance with a fee", [
        *opened("pm_card_createDispute"),
        Do("read", RetrieveDispute("{dispute.id}"), expect={
            "status": "needs_response", "reason": "fraudulent", "is_charge_refundable": False,
            "payment_method_details.card.case_type": "chargeback",
            "balance_transactions.*.amount": [-1999], "balance_transactions.*.fee": [1500],
            "balance_transactions.*.type": ["adjustment"], "balance_transactions.*.reporting_category": ["dispute"],
        }),
        Do("moved", RetrieveMovement("{read.balance_transactions.0.id}"), expect={
            "net": -3499, "source": "{dispute.id}", "fee_details.0.type": "stripe_fee", "exchange_rate": None,
        }),
        Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={"disputed": True, "status": "succeeded"}),
        Do("refused", CreateRefund({"payment_intent": "{paid.id}"}), refused=REFUSED),
        Do("told", ListEvents({"type": "charge.dispute.created", "limit": 100}),
           find=("data.object.id", "{dispute.id}"), patient=True, expect={"data.object.object": "dispute"}),
        Do("told too", ListEvents({"type": "charge.dispute.funds_withdrawn", "limit": 100}),
           find=("data.object.id", "{dispute.id}"), patient=True,
           expect={"data.object.balance_transactions.0.id": "{moved.id}"}),
    ]),
    Case("a dispute that is won gives the payment back and keeps the fee", [
        *opened("pm_card_createDisputeProductNotReceived"),
        Do("answered", UpdateDispute("{dispute.id}", {"evidence": {"uncategorized_text": "winning_evidence"}}),
           expect={
            "status": "under_review", "reason": "product_not_received",
            "evidence.uncategorized_text": "winning_evidence",
            **{f"evidence_details.{name}": value for name, value in EVIDENCE.items()},
        }),
        NOW,
        Do("won", RetrieveDispute("{dispute.id}"), patient=True, expect={
            "status": "won", "is_charge_refundable": True,
            "balance_transactions.*.reporting_category": ["dispute", "dispute_reversal"],
            "balance_transactions.*.net": [-3499, 1999],
        }),
        Do("closed", CloseDispute("{dispute.id}"), refused=CLOSED),
        Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={"disputed": True}),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), expect={"status": "succeeded"}),
        Do("told", ListEvents({"type": "charge.dispute.closed", "limit": 100}),
           find=("data.object.id", "{dispute.id}"), patient=True, expect={"data.object.status": "won"}),
    ]),
    Case("a dispute that is lost moves nothing more", [
        *opened("pm_card_createDispute"),
        Do("answered", UpdateDispute("{dispute.id}", {"evidence": {"uncategorized_text": "losing_evidence"}})),
        NOW,
        Do("lost", RetrieveDispute("{dispute.id}"), patient=True, expect={
            "status": "lost", "balance_transactions.*.amount": [-1999], "is_charge_refundable": False,
        }),
        Do("refused", CreateRefund({"payment_intent": "{paid.id}"}), refused=REFUSED),
        Do("too late", UpdateDispute("{dispute.id}", {"evidence": {"customer_name": "A"}}), refused=CLOSED),
    ]),
    Case("a dispute that is accepted is lost at once", [
        *opened("pm_card_createDispute"),
        Do("closed", CloseDispute("{dispute.id}"), expect={"status": "lost", "id": "{dispute.id}"}),
        Do("again", CloseDispute("{dispute.id}"), refused=CLOSED),
    ]),
    Case("evidence is kept until it is submitted", [
        *opened("pm_card_createDispute"),
        Do("kept", UpdateDispute("{dispute.id}", {
            "evidence": {"customer_name": "A"}, "metadata": {"case": "7"}, "submit": False,
        }), expect={
            "status": "needs_response", "metadata": {"case": "7"}, "evidence.customer_name": "A",
            "evidence_details.has_evidence": True, "evidence_details.submission_count": 0,
        }),
    ]),
    Case("an inquiry moves no money and becomes a dispute that does", [
        *opened("pm_card_createDisputeInquiry"),
        Do("inquiry", RetrieveDispute("{dispute.id}"), expect={
            "status": "warning_needs_response", "balance_transactions": [], "is_charge_refundable": True,
            "payment_method_details.card.case_type": "inquiry",
        }),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), expect={"status": "succeeded"}),
        Do("escalated", UpdateDispute("{dispute.id}", {
            "evidence": {"uncategorized_text": "escalate_inquiry_evidence"},
        })),
        NOW,
        Do("disputed", RetrieveDispute("{dispute.id}"), patient=True, expect={
            "status": "needs_response", "balance_transactions.*.reporting_category": ["dispute"],
        }),
        Do("refused", CreateRefund({"payment_intent": "{paid.id}"}), refused=REFUSED),
    ]),
    Case("a dispute is found by its charge", [
        *opened("pm_card_createDispute"),
        Do("listed", ListDisputes({"charge": "{paid.latest_charge}"}), expect={
            "object": "list", "url": "/v1/disputes", "has_more": False, "data.*.id": ["{dispute.id}"],
        }),
        Do("nobody", RetrieveDispute("du_nobody"), refused=Refusal(
            "InvalidRequestError", 404, code="resource_missing", message=Says("No such dispute"),
        )),
    ]),
    Case("the bank warns of fraud", [
        Do("paid", pay("pm_card_createIssuerFraudRecord")),
        NOW,
        Do("warning", ListWarnings({"payment_intent": "{paid.id}"}), find=("payment_intent", "{paid.id}"),
           patient=True, expect={
            "id": Starts("issfr_"), "object": "radar.early_fraud_warning", "charge": "{paid.latest_charge}",
            "actionable": True, "fraud_type": Filled(), "livemode": False,
        }),
        Do("read", RetrieveWarning("{warning.id}"), expect={"id": "{warning.id}"}),
        Do("listed", ListWarnings({"charge": "{paid.latest_charge}"}), expect={
            "url": "/v1/radar/early_fraud_warnings", "data.*.id": Only(("{warning.id}",)),
        }),
        Do("told", ListEvents({"type": "radar.early_fraud_warning.created", "limit": 100}),
           find=("data.object.id", "{warning.id}"), patient=True, expect={"data.object.charge": "{warning.charge}"}),
    ]),
]  # fmt: skip
