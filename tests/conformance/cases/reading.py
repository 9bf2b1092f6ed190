"""Reading back: expanding, lists, both cursors, pages joined by the SDK.

Sources: Stripe's API reference on pagination and on expanding. Lists expect an account that nobody else uses meanwhile.
"""

from tests.conformance.calls import AutoPage, CreateIntent, ListCharges, ListIntents, RetrieveCharge, RetrieveIntent
from tests.conformance.expectations import Distinct, Includes, Lacks, Present, Same, Says, Starts
from tests.conformance.scenario import Case, Do, Refusal, create, number, pay

FIVE = [Do(name, create()) for name in ("a", "b", "c", "d", "e")]

CASES = [
    Case("what stands behind an id is shown on request", [
        Do("paid", CreateIntent({**pay().params, "expand": ["latest_charge"]}), expect={
            "latest_charge.object": "charge", "latest_charge.payment_intent": "{this.id}",
        }),
        Do("read", RetrieveIntent("{paid.id}", {"expand": ["latest_charge.payment_intent"]}), expect={
            "latest_charge.id": "{paid.latest_charge.id}", "latest_charge.payment_intent.id": "{paid.id}",
        }),
        Do("charge", RetrieveCharge("{paid.latest_charge.id}", {"expand": ["payment_intent"]}), expect={
            "payment_intent.object": "payment_intent", "payment_intent.id": "{paid.id}",
        }),
    ]),
    Case("a payment method and a customer are shown on request", [
        Do("paid", pay()),
        Do("read", RetrieveIntent("{paid.id}", {"expand": ["payment_method"]}), expect={
            "payment_method.id": "{paid.payment_method}", "payment_method.object": "payment_method",
            "payment_method.type": "card", "payment_method.card.last4": "4242",
        }),
        Do("nobody", RetrieveIntent("{paid.id}", {"expand": ["customer"]}), expect={"customer": None}),
    ], sandbox_lacks="it shows neither payment methods nor customers by themselves"),
    Case("a movement is shown inside its payment", [
        Do("paid", pay()),
        Do("read", RetrieveIntent("{paid.id}", {"expand": ["latest_charge.balance_transaction"]}), expect={
            "latest_charge.balance_transaction.source": "{paid.latest_charge}",
            "latest_charge.balance_transaction.amount": 1999,
        }, patient=True),
    ]),
    Case("every item of a list is expanded", [
        Do("one", pay()),
        Do("two", pay()),
        Do("page", ListIntents({"limit": 2, "expand": ["data.latest_charge"]}), expect={
            "data.*.latest_charge.id": ["{two.latest_charge}", "{one.latest_charge}"],
            "data.*.latest_charge.object": ["charge", "charge"],
        }),
    ]),
    Case("what is no id cannot be expanded", [
        Do("made", create()),
        Do("refused", RetrieveIntent("{made.id}", {"expand": ["amount"]}), refused=Refusal(
            "InvalidRequestError", 400, message=Says("cannot be expanded"),
        )),
        Do("deep", RetrieveIntent("{made.id}", {"expand": [
            "latest_charge.balance_transaction.source.payment_intent.latest_charge",
        ]}), refused=Refusal("InvalidRequestError", 400, code="property_expansion_max_depth")),
    ]),
    Case("lists are newest first and complete at once", [
        *FIVE,
        Do("page", ListIntents({"limit": 3}), expect={
            "object": "list", "url": "/v1/payment_intents", "has_more": True,
            "data.*.id": ["{e.id}", "{d.id}", "{c.id}"],
        }),
    ]),
    Case("pages join in both directions without gap or repeat", [
        *FIVE,
        Do("one", ListIntents({"limit": 2}), expect={"data.*.id": ["{e.id}", "{d.id}"]}),
        Do("two", ListIntents({"limit": 2, "starting_after": "{one.data.1.id}"}), expect={
            "data.*.id": ["{c.id}", "{b.id}"], "has_more": True,
        }),
        Do("back", ListIntents({"limit": 2, "ending_before": "{two.data.0.id}"}), expect={
            "data.*.id": ["{e.id}", "{d.id}"], "has_more": False,
        }),
        Do("nothing newer", ListIntents({"limit": 2, "ending_before": "{e.id}"}), expect={
            "data": [], "has_more": False,
        }),
        Do("next to the cursor", ListIntents({"limit": 2, "ending_before": "{a.id}"}), expect={
            "data.*.id": ["{c.id}", "{b.id}"], "has_more": True,
        }),
    ]),
    Case("the SDK joins all pages, newest first", [
        *FIVE,
        Do("all", AutoPage(ListIntents({"limit": 2, "created": {"gte": number("{a.created}")}}), most=100), expect={
            "data.*.id": Distinct(),
        }),
        Do("five", AutoPage(ListIntents({"limit": 2, "created": {"gte": number("{a.created}")}}), most=5), expect={
            "data.*.id": ["{e.id}", "{d.id}", "{c.id}", "{b.id}", "{a.id}"],
        }),
    ]),
    Case("the SDK joins all pages backwards, oldest first", [
        *FIVE,
        Do("newer", AutoPage(ListIntents({"limit": 2, "ending_before": "{a.id}"})), expect={
            "data.*.id": ["{b.id}", "{c.id}", "{d.id}", "{e.id}"],
        }),
    ]),
    Case("a window of created holds what lies in it, and nothing else", [
        Do("made", create()),
        Do("inside", ListIntents({"limit": 100, "created": {"gte": number("{made.created}")}}), expect={
            "data.*.id": Includes(("{made.id}",)),
        }),
        Do("exactly", ListIntents({"limit": 100, "created": number("{made.created}")}), expect={
            "data.*.id": Includes(("{made.id}",)),
        }),
        Do("within", ListIntents({"limit": 100, "created": {
            "gte": number("{made.created}"), "lte": number("{made.created}"),
        }}), expect={"data.*.id": Includes(("{made.id}",)), "data.*.created": Same()}),
        Do("before", ListIntents({"limit": 100, "created": {"lt": number("{made.created}")}}), expect={
            "data.*.id": Lacks("{made.id}"),
        }),
        Do("after", ListIntents({"limit": 100, "created": {"gt": number("{made.created}")}}), expect={
            "data.*.id": Lacks("{made.id}"),
        }),
    ]),
    Case("charges are found by their payment", [
        Do("paid", pay()),
        Do("other", pay()),
        Do("charges", ListCharges({"payment_intent": "{paid.id}"}), expect={
            "object": "list", "url": "/v1/charges", "has_more": False, "data.*.id": ["{paid.latest_charge}"],
            "data.0.payment_intent": "{paid.id}", "data.0.balance_transaction": Present(), "data.0.id": Starts("ch_"),
        }),
    ]),
]  # fmt: skip
