"""Thin events and where they are sent, read by Stripe's own SDK."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from stripe import CardError, IdempotencyError, InvalidRequestError, SignatureVerificationError
from stripe.events import V1ChargeRefundedEventNotification, V1PaymentIntentSucceededEvent
from stripe.v2.core import EventDestination
from stripe.v2.core._event import UnknownEventNotification

from sandbox.state import API_VERSION
from tests.sandbox.client import failure, new_key
from tests.sandbox.hooks import Hooks
from tests.sandbox.process import KEY
from tests.sandbox.sdk_types import faults
from tests.sandbox.wire import Connection

SUCCEEDED = "v1.payment_intent.succeeded"
DAY_S = 86_400


def said(answer: Any) -> Any:
    return answer.last_response.data


# -- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_thin_event_names_its_object_and_its_snapshot(hooks: Hooks) -> None:
    made = await hooks.destination("v1.charge.refunded")
    paid = await hooks.api.pay()
    refund = await hooks.api.v1.refunds.create_async({"payment_intent": paid.id}, {"idempotency_key": "thin"})

    (post,) = await hooks.got(1)

    # Not the async client: its notifications ask with a parameter `usage` that no route has.
    client = stripe.StripeClient(KEY, base_addresses={"api": hooks.sandbox.base})
    told = post.notified(client, made.webhook_endpoint.signing_secret)
    snapshot = await hooks.event("charge.refunded", paid.latest_charge)
    assert isinstance(told, V1ChargeRefundedEventNotification)
    assert told.related_object.id == paid.latest_charge
    assert told.related_object.type == "charge"
    assert told.fetch_related_object().amount_refunded == refund.amount
    assert told.reason is not None
    assert told.reason.request is not None
    assert (told.reason.request.id, told.reason.request.idempotency_key) == (refund.last_response.request_id, "thin")
    fetched = told.fetch_event()
    assert (fetched.id, fetched.snapshot_event, told.id == snapshot.id) == (told.id, snapshot.id, False)
    assert json.loads(post.body)["snapshot_event"] == snapshot.id
    assert datetime.fromisoformat(told.created).timestamp() == snapshot.created


async def test_the_same_fact_comes_as_snapshot_and_thin_under_two_ids(hooks: Hooks) -> None:
    thin = await hooks.destination(SUCCEEDED)
    snapshots = [await hooks.endpoint("payment_intent.succeeded"), await hooks.destination(payload="snapshot")]
    secrets = [snapshots[0].secret, snapshots[1].webhook_endpoint.signing_secret]
    paid = await hooks.api.pay()
    event = await hooks.event("payment_intent.succeeded", paid.id)
    await hooks.settled(event.id)

    posts = [post for post in hooks.receiver.posts if b"intent.succeeded" in post.body]
    told = [post for post in posts if post.path == "/thin" and b"v2.core.event" in post.body]
    whole = [post for post in posts if post not in told]

    assert [post.notified(hooks.api.client, thin.webhook_endpoint.signing_secret).type for post in told] == [SUCCEEDED]
    assert len(whole) == 2
    for post in whole:
        (secret,) = [secret for secret in secrets if (secret == secrets[0]) == (post.path == "/hooks")]
        assert post.verified(secret).id == event.id
    with pytest.raises(SignatureVerificationError):
        told[0].notified(hooks.api.client, secrets[0])
    with pytest.raises(ValueError, match="thin event"):
        told[0].verified(thin.webhook_endpoint.signing_secret)


async def test_what_happens_by_itself_has_no_reason(hooks: Hooks) -> None:
    made = await hooks.destination("v1.charge.updated")
    await hooks.api.pay()
    hooks.sandbox.control("POST", "fees/flush")
    (post,) = await hooks.got(1)
    assert post.notified(hooks.api.client, made.webhook_endpoint.signing_secret).reason is None


# -- reading back ---------------------------------------------------------------------------------------------------


async def test_thin_events_are_complete_by_the_sdks_types(hooks: Hooks) -> None:
    paid = await hooks.api.pay()
    listed = said(await hooks.v2.events.list_async({"object_id": paid.id, "types": [SUCCEEDED]}))
    read = said(await hooks.v2.events.retrieve_async(listed["data"][0]["id"]))
    assert list(faults(read, V1PaymentIntentSucceededEvent)) == []
    assert listed == {"data": [read], "next_page_url": None, "previous_page_url": None}


async def test_pages_join_without_gap_or_repeat(own_hooks: Hooks) -> None:
    for _ in range(5):
        await own_hooks.api.create()
    events = own_hooks.v2.events
    everything = [event.id for event in (await events.list_async()).data]
    page = await events.list_async({"limit": 2, "types": ["v1.payment_intent.created"]})
    joined = [event.id async for event in page.auto_paging_iter()]
    assert joined == everything
    assert len(set(joined)) == 5

    with Connection(own_hooks.sandbox.base) as wire:
        second = wire.send("GET", said(page)["next_page_url"]).body
        first = wire.send("GET", second["previous_page_url"]).body
    assert [event["id"] for event in second["data"]] == joined[2:4]
    assert first == said(page)


async def test_events_are_found_by_type_time_and_object(own_hooks: Hooks) -> None:
    paid = await own_hooks.api.pay()
    own_hooks.sandbox.control("POST", "fees/flush")
    own_hooks.sandbox.control("POST", "age", {"seconds": 600})
    await own_hooks.api.create()
    border = datetime.fromtimestamp(time.time() - 300, UTC).isoformat()

    async def types(**params: Any) -> list[str]:
        return [event.type for event in (await own_hooks.v2.events.list_async(params)).data]

    assert await types(created={"gt": border}) == ["v1.payment_intent.created"]
    charged = await types(created={"lte": border}, object_id=paid.latest_charge)
    assert charged == ["v1.charge.updated", "v1.charge.succeeded"]
    assert await types(types=[SUCCEEDED, "v1.charge.failed"]) == [SUCCEEDED]
    assert await types(object_id=paid.id) == [SUCCEEDED, "v1.payment_intent.created"]
    for wrong in ({"created": {"gt": "yesterday"}}, {"page": "x"}, {"types": [SUCCEEDED] * 21}):
        with Connection(own_hooks.sandbox.base) as wire:
            assert wire.send("GET", "/v2/core/events", wrong).status == 400


async def test_thin_events_too_are_given_back_for_thirty_days(own_hooks: Hooks) -> None:
    await own_hooks.api.create()
    (event,) = (await own_hooks.v2.events.list_async()).data
    own_hooks.sandbox.control("POST", "clock", {"advance_s": 30 * DAY_S + 60})
    gone = await failure(own_hooks.v2.events.retrieve_async(event.id), InvalidRequestError)
    assert (gone.http_status, gone.code) == (404, "not_found")
    assert (await own_hooks.v2.events.list_async()).data == []


async def test_neither_version_is_read_under_the_others_route(hooks: Hooks) -> None:
    paid = await hooks.api.pay()
    snapshot = await hooks.event("payment_intent.succeeded", paid.id)
    (thin,) = (await hooks.v2.events.list_async({"object_id": paid.id, "types": [SUCCEEDED]})).data
    for work in (hooks.v2.events.retrieve_async(snapshot.id), hooks.api.v1.events.retrieve_async(thin.id)):
        assert (await failure(work, InvalidRequestError)).http_status == 404


# -- destinations ---------------------------------------------------------------------------------------------------


async def test_a_destination_shows_address_and_secret_only_to_who_asks(hooks: Hooks) -> None:
    asked = await hooks.destination(SUCCEEDED, description="mine", metadata={"k": "v"})
    silent = await hooks.destination(SUCCEEDED, include=[])
    destinations = hooks.v2.event_destinations
    read = await destinations.retrieve_async(asked.id, {"include": ["webhook_endpoint.url"]})

    for shown in (said(asked), said(silent), said(read)):
        assert list(faults(shown, EventDestination)) == []
    assert asked.id.startswith("ed_test_61")
    assert (asked.webhook_endpoint.url, read.webhook_endpoint.url) == (f"{hooks.receiver.url}/thin",) * 2
    assert [said(one)["webhook_endpoint"]["signing_secret"] for one in (silent, read)] == [None, None]
    assert said(silent)["webhook_endpoint"]["url"] is None
    assert (read.description, read.metadata.to_dict(), read.snapshot_api_version) == ("mine", {"k": "v"}, None)
    assert [one.id for one in (await destinations.list_async()).data] == [silent.id, asked.id]
    with Connection(hooks.sandbox.base) as wire:
        path = f"/v2/core/event_destinations/{asked.id}"
        refused = wire.send("GET", path, {"include": ["webhook_endpoint.signing_secret"]})
    assert (refused.status, refused.error["param"]) == (400, "include[0]")


async def test_a_destination_is_changed_switched_and_deleted(hooks: Hooks) -> None:
    made = await hooks.destination(SUCCEEDED, metadata={"k": "v", "l": "w"}, payload="snapshot", enabled_events=["*"])
    destinations = hooks.v2.event_destinations
    assert made.snapshot_api_version == API_VERSION
    change = {"name": "other", "enabled_events": ["charge.failed"], "metadata": {"k": None, "m": "x"}}
    url = {"webhook_endpoint": {"url": "http://localhost/x"}, "include": ["webhook_endpoint.url"]}
    changed = await destinations.update_async(made.id, change | url)
    assert (changed.name, changed.enabled_events, changed.webhook_endpoint.url) == (
        "other",
        ["charge.failed"],
        "http://localhost/x",
    )
    assert changed.metadata.to_dict() == {"l": "w", "m": "x"}

    disabled = await destinations.disable_async(made.id)
    assert (disabled.status, disabled.status_details.disabled.reason) == ("disabled", "user")
    assert list(faults(said(disabled), EventDestination)) == []
    assert (await destinations.enable_async(made.id)).status == "enabled"

    other = await destinations.create_async(
        {
            "name": "n",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": [SUCCEEDED],
            "webhook_endpoint": {"url": "http://localhost/"},
        }
    )
    assert (await destinations.delete_async(other.id)).id == other.id
    gone = await failure(destinations.retrieve_async(other.id), InvalidRequestError)
    assert (gone.http_status, gone.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"enabled_events": ["payment_intent.succeeded"]}, "enabled_events[0]", "Invalid event type for thin events"),
        ({"event_payload": "snapshot"}, "enabled_events[0]", "Invalid event type for snapshot events"),
        ({"event_payload": "fat"}, "event_payload", "must be one of"),
        ({"type": "amazon_eventbridge"}, "type", "The sandbox does not do"),
        ({"events_from": ["@accounts"]}, "events_from", "The sandbox does not do"),
        ({"webhook_endpoint": {"url": "localhost"}}, "webhook_endpoint[url]", "An explicit scheme"),
        ({"webhook_endpoint": {}}, "webhook_endpoint[url]", "Missing required param"),
        ({"webhook_endpoint": None}, "webhook_endpoint", "Missing required param"),
        ({"name": None}, "name", "Missing required param"),
        ({"snapshot_api_version": API_VERSION}, "snapshot_api_version", "not for thin events"),
        ({"colour": "red"}, "colour", "unknown parameter"),
    ],
)
async def test_a_destination_that_cannot_be_is_refused(
    hooks: Hooks, change: dict[str, Any], param: str, message: str
) -> None:
    refused = await failure(hooks.destination(SUCCEEDED, **change), InvalidRequestError)
    assert (refused.http_status, refused.json_body["error"]["param"]) == (400, param)
    assert message in refused.user_message


async def test_a_body_that_is_no_json_is_refused(hooks: Hooks) -> None:
    with Connection(hooks.sandbox.base) as wire:
        for body in (b"{", b"[]", b"x=1", b'{"name": ' + b"[" * 100_000):
            answer = wire.raw("POST", "/v2/core/event_destinations", body)
            assert (answer.status, answer.error["message"]) == (400, "Invalid JSON in the request body.")


async def test_keys_hold_for_the_second_api_and_for_its_deletes(hooks: Hooks) -> None:
    key, destinations = new_key(), hooks.v2.event_destinations
    params: Any = {
        "name": "n",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": [SUCCEEDED],
        "webhook_endpoint": {"url": "http://localhost/"},
    }
    first = await destinations.create_async(params, {"idempotency_key": key})
    again = await destinations.create_async(params, {"idempotency_key": key})
    assert again.id == first.id
    reused = await failure(
        destinations.create_async(params | {"name": "m"}, {"idempotency_key": key}), IdempotencyError
    )
    assert reused.http_status == 409
    for _ in range(2):
        assert (await destinations.delete_async(first.id, {}, {"idempotency_key": f"{key}-d"})).id == first.id


async def test_a_thin_destination_is_told_of_a_decline(hooks: Hooks) -> None:
    made = await hooks.destination("v1.payment_intent.payment_failed", "v1.charge.failed")
    with pytest.raises(CardError):
        await hooks.api.pay("pm_card_visa_chargeDeclined")
    posts = await hooks.got(2)
    told = {post.notified(hooks.api.client, made.webhook_endpoint.signing_secret).type for post in posts}
    assert told == {"v1.payment_intent.payment_failed", "v1.charge.failed"}


async def test_the_sdk_knows_every_thin_event_that_the_sandbox_has(hooks: Hooks) -> None:
    held = await hooks.api.pay(capture_method="manual")
    await hooks.api.intents.capture_async(held.id)
    refund = await hooks.api.v1.refunds.create_async({"payment_intent": held.id})
    hooks.sandbox.control("POST", f"refunds/{refund.id}/end", {"status": "failed"})
    for card in ("pm_card_createDispute", "pm_card_createIssuerFraudRecord"):
        await hooks.api.pay(card)
    hooks.sandbox.control("POST", "disputes/flush")
    page = said(await hooks.v2.events.list_async({"limit": 100}))
    with Connection(hooks.sandbox.base) as wire:
        for event in page["data"]:
            known = stripe.v2.core.EventNotification.from_json(event, hooks.api.client)
            assert not isinstance(known, UnknownEventNotification), event["type"]
            related = event["related_object"]
            found = wire.send("GET", related["url"]).body
            assert (found["id"], found["object"]) == (related["id"], related["type"])
    assert {event["type"] for event in page["data"]} >= {
        "v1.payment_intent.amount_capturable_updated",
        "v1.charge.captured",
        "v1.charge.refunded",
        "v1.refund.created",
        "v1.refund.failed",
        "v1.charge.dispute.created",
        "v1.charge.dispute.funds_withdrawn",
        "v1.radar.early_fraud_warning.created",
    }
