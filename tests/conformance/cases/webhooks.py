"""Where events are sent, and thin events: webhook endpoints, event destinations, and what the second API gives back.

Sources: the SDK's types and their texts, Stripe's reference, its page on moving to thin events. Nothing is received
here: the addresses lead nowhere, and each case takes back what it made.
"""

from tests.conformance.calls import (
    CreateDestination,
    CreateEndpoint,
    CreateRefund,
    DeleteDestination,
    DeleteEndpoint,
    DisableDestination,
    EnableDestination,
    ListDestinations,
    ListEndpoints,
    ListEvents,
    ListThinEvents,
    RetrieveDestination,
    RetrieveEndpoint,
    RetrieveEvent,
    RetrieveThinEvent,
    UpdateDestination,
    UpdateEndpoint,
)
from tests.conformance.expectations import MISSING, Filled, Includes, Only, Other, Present, Says, Starts, Whole
from tests.conformance.scenario import Case, Do, Refusal, ill_typed, pay

NOWHERE = "https://example.com/hooks"
GONE = Refusal("InvalidRequestError", 404, code="resource_missing", param="id")
NOT_FOUND = Refusal("InvalidRequestError", 404, code="not_found")

CASES = [
    Case("an endpoint shows its secret once, and is changed, listed and deleted", [
        Do("made", CreateEndpoint({
            "url": NOWHERE, "enabled_events": ["charge.failed"], "description": "a test", "metadata": {"k": "v"},
        }), expect={
            "id": Starts("we_"), "object": "webhook_endpoint", "secret": Starts("whsec_"), "status": "enabled",
            "url": NOWHERE, "enabled_events": ["charge.failed"], "api_version": None, "application": None,
            "description": "a test", "metadata": {"k": "v"}, "livemode": False, "created": Whole(1),
        }),
        Do("read", RetrieveEndpoint("{made.id}"), expect={"id": "{made.id}", "secret": MISSING}),
        Do("changed", UpdateEndpoint("{made.id}", {
            "url": f"{NOWHERE}/2", "enabled_events": ["*"], "disabled": True, "metadata": {"k": "", "m": "n"},
        }), expect={
            "url": f"{NOWHERE}/2", "enabled_events": ["*"], "status": "disabled", "metadata": {"m": "n"},
            "secret": MISSING, "description": "a test",
        }),
        Do("on again", UpdateEndpoint("{made.id}", {"disabled": False}), expect={"status": "enabled"}),
        Do("listed", ListEndpoints({"limit": 100}), find=("id", "{made.id}"), expect={
            "object": "webhook_endpoint", "secret": MISSING, "url": f"{NOWHERE}/2",
        }),
        Do("deleted", DeleteEndpoint("{made.id}"), expect={
            "id": "{made.id}", "object": "webhook_endpoint", "deleted": True,
        }),
        Do("gone", RetrieveEndpoint("{made.id}"), refused=GONE),
        Do("deleted again", DeleteEndpoint("{made.id}"), refused=GONE),
    ]),
    Case("a repeated create of an endpoint shows the same secret", [
        Do("made", CreateEndpoint({"url": NOWHERE, "enabled_events": ["*"]}), key="{run}-e"),
        Do("again", CreateEndpoint({"url": NOWHERE, "enabled_events": ["*"]}), key="{run}-e", expect={
            "id": "{made.id}", "secret": "{made.secret}",
        }),
        Do("deleted", DeleteEndpoint("{made.id}")),
    ]),
    Case("what nobody can be sent to is refused", [
        Do("no address", CreateEndpoint(ill_typed({"enabled_events": ["*"]})), refused=Refusal(
            "InvalidRequestError", 400, param="url",
        )),
        Do("no scheme", CreateEndpoint({"url": "example.com", "enabled_events": ["*"]}), refused=Refusal(
            "InvalidRequestError", 400, param="url", message=Says("Invalid URL"),
        )),
        Do("no types", CreateEndpoint(ill_typed({"url": NOWHERE})), refused=Refusal(
            "InvalidRequestError", 400, param="enabled_events",
        )),
        Do("no such type", CreateEndpoint(ill_typed({"url": NOWHERE, "enabled_events": ["charge.bought"]})),
           refused=Refusal("InvalidRequestError", 400)),
        Do("no such endpoint", UpdateEndpoint("we_nobody", {"disabled": True}), refused=GONE),
    ]),
    Case("events are told apart by whether they were delivered", [
        Do("made", CreateEndpoint({"url": NOWHERE, "enabled_events": ["payment_intent.succeeded"]})),
        Do("paid", pay()),
        Do("pending", ListEvents({
            "type": "payment_intent.succeeded", "delivery_success": False, "limit": 100,
        }), find=("data.object.id", "{paid.id}"), patient=True, expect={"pending_webhooks": Whole(1)}),
        Do("delivered", ListEvents({
            "type": "payment_intent.succeeded", "delivery_success": True, "limit": 100,
        }), find=("id", "{pending.id}"), expect={"": MISSING}),
        Do("deleted", DeleteEndpoint("{made.id}")),
    ]),
    Case("a destination shows its secret and its address to whoever asks", [
        Do("made", CreateDestination({
            "name": "a test", "type": "webhook_endpoint", "event_payload": "thin",
            "enabled_events": ["v1.charge.refunded"], "webhook_endpoint": {"url": NOWHERE},
            "include": ["webhook_endpoint.signing_secret", "webhook_endpoint.url"],
        }), expect={
            "id": Starts("ed_"), "object": "v2.core.event_destination", "status": "enabled", "name": "a test",
            "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": ["v1.charge.refunded"],
            "webhook_endpoint.signing_secret": Starts("whsec_"), "webhook_endpoint.url": NOWHERE,
            "livemode": False, "created": Filled(), "updated": Filled(),
        }),
        Do("read", RetrieveDestination("{made.id}"), expect={
            "webhook_endpoint.signing_secret": Other("{made.webhook_endpoint.signing_secret}"),
            "webhook_endpoint.url": Other(NOWHERE), "name": "a test",
        }),
        Do("asked", RetrieveDestination("{made.id}", {"include": ["webhook_endpoint.url"]}), expect={
            "webhook_endpoint.url": NOWHERE,
        }),
        Do("changed", UpdateDestination("{made.id}", {
            "name": "another", "enabled_events": ["v1.charge.failed"], "metadata": {"k": "v"},
        }), expect={"name": "another", "enabled_events": ["v1.charge.failed"], "metadata": {"k": "v"}}),
        Do("off", DisableDestination("{made.id}"), expect={
            "status": "disabled", "status_details.disabled.reason": "user",
        }),
        Do("on", EnableDestination("{made.id}"), expect={"status": "enabled"}),
        Do("listed", ListDestinations({"limit": 100}), find=("id", "{made.id}"), expect={"name": "another"}),
        Do("deleted", DeleteDestination("{made.id}"), expect={"id": "{made.id}"}),
        Do("gone", RetrieveDestination("{made.id}"), refused=NOT_FOUND),
    ]),
    Case("a destination takes only the types of its kind", [
        Do("refused", CreateDestination({
            "name": "a test", "type": "webhook_endpoint", "event_payload": "thin",
            "enabled_events": ["charge.refunded"], "webhook_endpoint": {"url": NOWHERE},
        }), refused=Refusal("InvalidRequestError", 400)),
        Do("refused too", CreateDestination({
            "name": "a test", "type": "webhook_endpoint", "event_payload": "snapshot",
            "enabled_events": ["v1.charge.refunded"], "webhook_endpoint": {"url": NOWHERE},
        }), refused=Refusal("InvalidRequestError", 400)),
    ]),
    Case("a thin event names its object and the event that has it", [
        Do("made", CreateDestination({
            "name": "a test", "type": "webhook_endpoint", "event_payload": "thin",
            "enabled_events": ["v1.charge.refunded"], "webhook_endpoint": {"url": NOWHERE},
        })),
        Do("paid", pay()),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), key="{run}-r"),
        Do("told", ListThinEvents({"object_id": "{paid.latest_charge}", "types": ["v1.charge.refunded"]}),
           find=("related_object.id", "{paid.latest_charge}"), patient=True, expect={
            "object": "v2.core.event", "type": "v1.charge.refunded", "related_object.type": "charge",
            "related_object.url": Says("/v1/charges/{paid.latest_charge}"), "snapshot_event": Starts("evt_"),
            "reason.type": "request", "reason.request.id": "{refund.request_id}",
            "reason.request.idempotency_key": "{run}-r", "livemode": False, "created": Filled(),
            "id": Other("{this.data.0.snapshot_event}"),
        }),
        Do("read", RetrieveThinEvent("{told.id}"), expect={
            "type": "v1.charge.refunded", "snapshot_event": "{told.snapshot_event}",
        }),
        Do("whole", RetrieveEvent("{told.snapshot_event}"), expect={
            "type": "charge.refunded", "data.object.id": "{paid.latest_charge}",
        }),
        Do("not there", RetrieveThinEvent("{whole.id}"), refused=NOT_FOUND),
        Do("deleted", DeleteDestination("{made.id}")),
    ]),
    Case("thin events are found by their types", [
        Do("paid", pay()),
        Do("listed", ListThinEvents({"types": ["v1.payment_intent.created"], "object_id": "{paid.id}"}),
           patient=True, expect={
            "data.*.type": Only(("v1.payment_intent.created",)), "data.*.related_object.id": Includes(("{paid.id}",)),
            "next_page_url": Present(),
        }),
    ]),
]  # fmt: skip
