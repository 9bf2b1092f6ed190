"""What a payment leaves behind: events, charges, balance transactions, the balance, and whose account it is.

Sources: the SDK's types, Stripe's page on asynchronous capture, the fixtures of its OpenAPI description.
"""

from tests.conformance.calls import (
    CreateIntent,
    ListEvents,
    ListMovements,
    RetrieveAccount,
    RetrieveBalance,
    RetrieveCharge,
    RetrieveEvent,
    RetrieveIntent,
    RetrieveMovement,
)
from tests.conformance.expectations import Distinct, Filled, Only, Present, Starts, Whole
from tests.conformance.scenario import Case, Do, Refusal, ill_typed, number, pay

CASES = [
    Case("the fee is not known when the card is charged", [
        Do("charged", CreateIntent({**pay().params, "expand": ["latest_charge"]}), expect={
            "latest_charge.status": "succeeded", "latest_charge.balance_transaction": None,
        }),
        Do("paid", RetrieveIntent("{charged.id}")),
        Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={"balance_transaction": Starts("txn_")},
           patient=True),
        Do("movement", RetrieveMovement("{charge.balance_transaction}"), expect={
            "object": "balance_transaction", "type": "charge", "reporting_category": "charge", "amount": 1999,
            "source": "{charge.id}", "fee": Whole(1), "net": Whole(1), "status": "pending", "exchange_rate": None,
            "available_on": Whole(1), "fee_details.0.type": "stripe_fee", "fee_details.0.amount": "{this.fee}",
            "balance_type": "payments", "description": None,
        }),
        Do("by source", ListMovements({"source": "{charge.id}", "type": "charge"}), expect={
            "data.*.id": ["{movement.id}"], "data.0.net": "{movement.net}", "data.0.fee": "{movement.fee}",
        }),
        Do("other type", ListMovements({"source": "{charge.id}", "type": "refund"}), expect={"data": []}),
    ]),
    Case("events are found by their type and name their request", [
        Do("paid", pay(), key="{run}"),
        Do("succeeded", ListEvents({
            "type": "payment_intent.succeeded", "limit": 100, "created": {"gte": number("{paid.created}")},
        }), find=("data.object.id", "{paid.id}"), patient=True, expect={
            "object": "event", "id": Starts("evt_"), "type": "payment_intent.succeeded", "livemode": False,
            "request.id": "{paid.request_id}", "request.idempotency_key": "{run}", "data.object.status": "succeeded",
            "api_version": Filled(), "pending_webhooks": Whole(0), "created": Whole(1),
        }),
        Do("read", RetrieveEvent("{succeeded.id}"), expect={
            "id": "{succeeded.id}", "type": "payment_intent.succeeded", "data.object.id": "{paid.id}",
        }),
    ]),
    Case("events are found by one of several types", [
        Do("paid", pay()),
        Do("created", ListEvents({"types": ["payment_intent.created", "charge.failed"], "limit": 100}),
           find=("data.object.id", "{paid.id}"), patient=True, expect={"type": "payment_intent.created"}),
        Do("only these", ListEvents({"types": ["payment_intent.created", "charge.failed"], "limit": 100}), expect={
            "data.*.type": Only(("payment_intent.created", "charge.failed")), "data.*.id": Distinct(),
        }),
        Do("one kind", ListEvents({"type": "payment_intent.*", "limit": 100}), patient=True,
           find=("data.object.id", "{paid.id}"), expect={"data.object.object": "payment_intent"}),
    ]),
    Case("type and types exclude each other", [
        Do("refused", ListEvents({"type": "charge.failed", "types": ["charge.failed"]}), refused=Refusal(
            "InvalidRequestError", 400,
        )),
        Do("too many", ListEvents(ill_typed({"types": [f"charge.{n}" for n in range(21)]})), refused=Refusal(
            "InvalidRequestError", 400,
        )),
    ]),
    Case("a decline is told in events", [
        Do("declined", pay("pm_card_visa_chargeDeclined"), refused=Refusal("CardError", 402)),
        Do("failed", ListEvents({"type": "payment_intent.payment_failed", "limit": 100}), patient=True,
           find=("data.object.id", "{declined.payment_intent.id}"), expect={
               "data.object.last_payment_error.code": "card_declined",
        }),
        Do("charge", ListEvents({"type": "charge.failed", "limit": 100}), patient=True,
           find=("data.object.id", "{declined.charge}"), expect={"data.object.paid": False}),
    ]),
    Case("a late fee is told with what it replaces", [
        Do("paid", pay()),
        Do("updated", ListEvents({"type": "charge.updated", "limit": 100}), patient=True,
           find=("data.object.id", "{paid.latest_charge}"), expect={
               "data.object.balance_transaction": Starts("txn_"), "data.previous_attributes": Filled(),
               "data.previous_attributes.balance_transaction": None,
        }),
    ]),
    Case("the balance has an entry for each currency", [
        Do("balance", RetrieveBalance(), expect={
            "object": "balance", "livemode": False, "available.0.currency": Filled(), "available.0.amount": Present(),
            "pending.0.currency": Filled(), "pending.0.amount": Present(),
        }),
    ]),
    Case("the account says who it is", [
        Do("account", RetrieveAccount(), expect={
            "object": "account", "id": Starts("acct_"), "country": Filled(), "default_currency": Filled(),
            "settings.dashboard.display_name": Present(), "settings.branding": Filled(),
            "settings.card_payments": Filled(), "settings.payments": Filled(),
        }),
    ]),
]  # fmt: skip
