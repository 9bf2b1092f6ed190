"""Webhook endpoints and what is sent to them, read by Stripe's own SDK: its types, its signature verifier."""

import asyncio
import json
import shutil
import subprocess
import threading
from base64 import b64encode
from functools import partial
from typing import Any

import pytest
import stripe
from stripe import InvalidRequestError, SignatureVerificationError

from sandbox.delivering import TRIES_MAX
from sandbox.state import API_VERSION
from tests.conformance.drivers.node_client import FOLDER, why_not
from tests.sandbox.client import Api, failure, new_key, order
from tests.sandbox.hooks import Hooks
from tests.sandbox.process import SandboxProcess
from tests.sandbox.receiver import WITHIN_S, Post
from tests.sandbox.sdk_types import faults

SUCCEEDED = "payment_intent.succeeded"
DAY_S = 86_400


def said(answer: Any) -> Any:
    return answer.last_response.data


def signatures(post: Post) -> list[str]:
    return [part for part in post.signature.split(",") if part.startswith("v1=")]


# -- endpoints ------------------------------------------------------------------------------------------------------


async def test_only_the_create_shows_the_secret(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED, description="mine", metadata={"k": "v"}, api_version=API_VERSION)
    endpoints = hooks.api.v1.webhook_endpoints

    read = await endpoints.retrieve_async(made.id)
    (listed,) = (await endpoints.list_async()).data
    updated = await endpoints.update_async(made.id, {"metadata": {"k": "", "m": "n"}})

    assert made.secret.startswith("whsec_")
    assert len(made.secret) == len("whsec_") + 32
    for shown in (said(made), said(read), said(updated)):
        assert list(faults(shown, stripe.WebhookEndpoint)) == []
    assert [("secret" in shown) for shown in (said(read), listed, said(updated))] == [False, False, False]
    assert (read.api_version, read.description, read.metadata.to_dict()) == (API_VERSION, "mine", {"k": "v"})
    assert updated.metadata.to_dict() == {"m": "n"}
    assert said(read) | {"secret": made.secret} == said(made)


async def test_an_endpoint_is_changed_and_deleted(hooks: Hooks) -> None:
    made = await hooks.endpoint()
    endpoints = hooks.api.v1.webhook_endpoints
    changed = await endpoints.update_async(
        made.id, {"url": "http://localhost/x", "enabled_events": ["charge.failed"], "disabled": True, "description": ""}
    )
    assert (changed.url, changed.enabled_events, changed.status) == (
        "http://localhost/x",
        ["charge.failed"],
        "disabled",
    )
    assert changed.description is None

    other = await hooks.api.v1.webhook_endpoints.create_async({"url": "http://localhost/y", "enabled_events": ["*"]})
    deleted = await endpoints.delete_async(other.id)
    assert said(deleted) == {"id": other.id, "object": "webhook_endpoint", "deleted": True}
    gone = await failure(endpoints.retrieve_async(other.id), InvalidRequestError)
    assert (gone.http_status, gone.code) == (404, "resource_missing")
    assert gone.user_message == f"No such webhook endpoint: '{other.id}'"


@pytest.mark.parametrize(
    ("params", "param", "message"),
    [
        ({"enabled_events": ["*"]}, "url", "Missing required param: url."),
        ({"url": "http://localhost/x"}, "enabled_events", "Missing required param: enabled_events."),
        ({"url": "localhost/x", "enabled_events": ["*"]}, "url", "An explicit scheme"),
        ({"url": "https://", "enabled_events": ["*"]}, "url", "Not a valid URL"),
        ({"url": "ftp://localhost/x", "enabled_events": ["*"]}, "url", "Not a valid URL"),
        ({"url": "http://localhost/a b", "enabled_events": ["*"]}, "url", "Not a valid URL"),
        ({"url": "http://localhost/x", "enabled_events": ["charge.bought"]}, "enabled_events[0]", "must be one of"),
        ({"url": "http://localhost/x", "enabled_events": ["*"], "connect": True}, "connect", "The sandbox does not do"),
        ({"url": "http://x/x", "enabled_events": ["*"], "api_version": "2020-08-27"}, "api_version", "does not do"),
    ],
)
async def test_an_endpoint_nobody_can_be_sent_to_is_refused(
    hooks: Hooks, params: dict[str, Any], param: str, message: str
) -> None:
    refused = await failure(hooks.api.v1.webhook_endpoints.create_async(params), InvalidRequestError)
    assert (refused.http_status, refused.param) == (400, param)
    assert message in refused.user_message


async def test_sixteen_endpoints_are_the_most(hooks: Hooks) -> None:
    for _ in range(15):
        await hooks.endpoint("charge.expired")
    await hooks.destination("v1.charge.expired")
    refused = await failure(hooks.endpoint("charge.expired"), InvalidRequestError)
    assert "maximum of 16 test webhook endpoints" in refused.user_message


# -- deliveries -----------------------------------------------------------------------------------------------------


async def test_an_event_is_sent_signed_and_complete(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    paid = await hooks.api.pay(key=new_key())

    (post,) = await hooks.got(1)

    event = post.verified(made.secret)
    sent = json.loads(post.body)
    assert list(faults(sent, stripe.Event)) == []
    assert (event.type, event.data.object["id"], event.request.id) == (
        SUCCEEDED,
        paid.id,
        paid.last_response.request_id,
    )
    assert (event.pending_webhooks, event.api_version, post.path) == (1, API_VERSION, "/hooks")
    assert post.headers["content-type"] == "application/json; charset=utf-8"
    await hooks.settled(event.id)
    read = said(await hooks.api.v1.events.retrieve_async(event.id))
    assert read == sent | {"pending_webhooks": 0}


async def test_the_signature_is_over_the_bytes_that_came(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    await hooks.api.pay()
    (post,) = await hooks.got(1)
    again = json.dumps(json.loads(post.body)).encode()
    for body, secret in ((again, made.secret), (post.body, "whsec_other"), (post.body + b" ", made.secret)):
        with pytest.raises(SignatureVerificationError):
            stripe.Webhook.construct_event(body, post.signature, secret)


@pytest.mark.slow
async def test_the_node_sdk_takes_both_kinds_of_events(hooks: Hooks) -> None:
    absent = why_not()
    if absent is not None:
        pytest.skip(absent)
    snapshots, thin = await hooks.endpoint(SUCCEEDED), await hooks.destination(f"v1.{SUCCEEDED}")
    await hooks.api.pay()
    secrets = {"/hooks": snapshots.secret, "/thin": thin.webhook_endpoint.signing_secret}
    lines = [
        json.dumps({"body": b64encode(post.body).decode(), "header": post.signature, "secret": secrets[post.path]})
        for post in await hooks.got(2)
    ]
    verify = [shutil.which("node") or "node", FOLDER / "verify.mjs"]
    run = partial(subprocess.run, verify, capture_output=True, text=True, check=False)
    taken = await asyncio.to_thread(run, input="\n".join(lines))
    refused = await asyncio.to_thread(run, input=lines[0].replace("whsec_", "whsec_x"))
    assert sorted(taken.stdout.split()) == [SUCCEEDED, f"v1.{SUCCEEDED}"], taken.stderr
    assert refused.returncode != 0
    assert "StripeSignatureVerificationError" in refused.stderr


async def test_an_endpoint_is_sent_only_the_types_it_asked_for(hooks: Hooks) -> None:
    await hooks.endpoint("payment_intent.created", "charge.failed")
    await hooks.endpoint(url=f"{hooks.receiver.url}/all")
    off = await hooks.endpoint(url=f"{hooks.receiver.url}/off")
    await hooks.api.v1.webhook_endpoints.update_async(off.id, {"disabled": True})
    key = new_key()
    with pytest.raises(stripe.CardError):
        await hooks.api.pay("pm_card_visa_chargeDeclined", metadata=order(key))

    await hooks.got(5)

    mine = [(post.path, json.loads(post.body)) for post in hooks.receiver.posts]
    told = sorted((path, event["type"]) for path, event in mine if key in str(event))
    everything = ["charge.failed", "payment_intent.created", "payment_intent.payment_failed"]
    assert told == [("/all", kind) for kind in everything] + [("/hooks", kind) for kind in everything[:2]]


@pytest.mark.parametrize("status", [302, 307, 400, 404, 410, 500])
async def test_what_is_not_taken_is_sent_again_under_the_same_id(hooks: Hooks, status: int) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    hooks.receiver.answer = lambda _: status if len(hooks.receiver.posts) < 2 else 204
    await hooks.api.pay()

    posts = await hooks.got(3)

    (event_id,) = {post.verified(made.secret).id for post in posts}
    (delivery,) = await hooks.settled(event_id)
    assert (delivery["state"], delivery["tries"], delivery["answer"]) == ("delivered", 3, "204")
    assert {post.path for post in hooks.receiver.posts} == {"/hooks"}, "no redirect is followed"


async def test_the_pauses_between_tries_double(own_hooks: Hooks) -> None:
    await own_hooks.endpoint(SUCCEEDED)
    own_hooks.receiver.answer = lambda _: 500
    own_hooks.sandbox.control("POST", "deliveries", {"retry_s": 1000})
    paid = await own_hooks.api.pay()
    event = await own_hooks.event(SUCCEEDED, paid.id)

    for tries, pause in enumerate([1000, 2000, 3600, 3600], start=1):
        (waiting,) = await own_hooks.tried(event.id, tries)
        now = own_hooks.sandbox.control("GET", "health")["now"]
        assert waiting["due"] - now == pytest.approx(pause, abs=20)
        own_hooks.sandbox.control("POST", "clock", {"advance_s": pause})
    assert len(await own_hooks.got(5)) == 5


async def test_after_the_last_try_it_is_failed_and_can_be_resent(hooks: Hooks) -> None:
    await hooks.endpoint(SUCCEEDED)
    hooks.receiver.answer = lambda _: 500
    paid = await hooks.api.pay()
    event = await hooks.event(SUCCEEDED, paid.id)

    (failed,) = await hooks.settled(event.id)

    assert (failed["state"], failed["tries"], failed["answer"]) == ("failed", TRIES_MAX, "500")
    events = hooks.api.v1.events
    assert (await events.retrieve_async(event.id)).pending_webhooks == 1
    undelivered = await events.list_async({"delivery_success": False, "type": SUCCEEDED})
    delivered = await events.list_async({"delivery_success": True, "type": SUCCEEDED, "limit": 100})
    assert [found.id for found in undelivered.data] == [event.id]
    assert event.id not in [found.id for found in delivered.data]

    hooks.receiver.answer = lambda _: 200
    assert hooks.sandbox.control("POST", f"events/{event.id}/resend") == {"sent": 1}
    assert [found["state"] for found in await hooks.settled(event.id)] == ["failed", "delivered"]


async def test_nobody_there_is_a_failed_try(hooks: Hooks) -> None:
    await hooks.endpoint(SUCCEEDED, url="http://127.0.0.1:9/hooks")
    await hooks.endpoint(SUCCEEDED, url=f"{hooks.sandbox.base.replace('http', 'https')}/hooks")
    paid = await hooks.api.pay()
    event = await hooks.event(SUCCEEDED, paid.id)
    found = await hooks.settled(event.id)
    assert [(delivery["state"], delivery["tries"]) for delivery in found] == [("failed", TRIES_MAX)] * 2


async def test_a_receiver_that_does_not_answer_delays_no_answer_and_no_other_receiver(hooks: Hooks) -> None:
    go_on = threading.Event()
    hooks.receiver.answer = lambda post: 200 if post.path != "/hanging" or go_on.wait(WITHIN_S) else 500
    await hooks.endpoint(SUCCEEDED, url=f"{hooks.receiver.url}/hanging")
    await hooks.endpoint(SUCCEEDED)
    for _ in range(3):
        await hooks.api.pay()
    await hooks.got(3)
    assert [post.path for post in hooks.receiver.posts[:3]] == ["/hooks"] * 3
    go_on.set()
    await hooks.got(6)


async def test_what_was_on_its_way_survives_kill_9(own_hooks: Hooks, own_sandbox: SandboxProcess) -> None:
    made = await own_hooks.endpoint(SUCCEEDED)
    own_hooks.receiver.answer = lambda _: 500
    own_sandbox.control("POST", "deliveries", {"retry_s": 3600})
    paid = await own_hooks.api.pay()
    await own_hooks.got(1)

    own_sandbox.kill()
    own_hooks.receiver.answer = lambda _: 200
    own_sandbox.start()
    own_sandbox.control("POST", "deliveries/flush")

    *_, last = await own_hooks.got(2)
    assert last.verified(made.secret).data.object["id"] == paid.id


async def test_a_deleted_endpoint_is_owed_nothing(hooks: Hooks) -> None:
    other = await hooks.api.v1.webhook_endpoints.create_async({"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
    hooks.sandbox.control("POST", "deliveries", {"retry_s": 3600})
    paid = await hooks.api.pay()
    event = await hooks.event(SUCCEEDED, paid.id)
    assert event.pending_webhooks == 1
    await hooks.api.v1.webhook_endpoints.delete_async(other.id)
    assert (await hooks.api.v1.events.retrieve_async(event.id)).pending_webhooks == 0


async def test_an_endpoint_that_was_disabled_meanwhile_is_tried_no_more(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    hooks.receiver.answer = lambda _: 500
    hooks.sandbox.control("POST", "deliveries", {"retry_s": 3600})
    paid = await hooks.api.pay()
    await hooks.got(1)
    await hooks.api.v1.webhook_endpoints.update_async(made.id, {"disabled": True})
    hooks.sandbox.control("POST", "deliveries/flush")
    event = await hooks.event(SUCCEEDED, paid.id)
    (delivery,) = await hooks.settled(event.id)
    assert (delivery["state"], len(hooks.receiver.posts)) == ("failed", 1)


# -- secrets --------------------------------------------------------------------------------------------------------


async def test_both_secrets_sign_while_one_is_rolled(own_hooks: Hooks, own_sandbox: SandboxProcess) -> None:
    made = await own_hooks.endpoint(SUCCEEDED)
    new = own_sandbox.control("POST", f"webhook_endpoints/{made.id}/roll", {"overlap_s": DAY_S})["secret"]
    await own_hooks.api.pay()
    (during,) = await own_hooks.got(1)
    own_sandbox.control("POST", "clock", {"advance_s": DAY_S})
    await own_hooks.api.pay()
    _, after = await own_hooks.got(2)

    assert new != made.secret
    assert (len(signatures(during)), len(signatures(after))) == (2, 1)
    assert {during.verified(made.secret).type, during.verified(new).type, after.verified(new).type} == {SUCCEEDED}
    with pytest.raises(SignatureVerificationError):
        after.verified(made.secret)


async def test_a_roll_without_overlap_ends_the_secret_at_once(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    new = hooks.sandbox.control("POST", f"webhook_endpoints/{made.id}/roll", {})["secret"]
    await hooks.api.pay()
    (post,) = await hooks.got(1)
    assert (len(signatures(post)), post.verified(new).type) == (1, SUCCEEDED)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("webhook_endpoints/we_nobody/roll", {}),
        ("deliveries", {"retry_s": -1}),
        ("deliveries", {}),
        ("events/evt_1/deliveries", {}),
    ],
)
def test_a_wrong_control_call_is_refused(sandbox: SandboxProcess, path: str, body: Any) -> None:
    with pytest.raises(OSError, match=r"4\d\d"):
        sandbox.control("POST", path, body)


async def test_the_secret_before_signs_for_a_day_at_most(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    with pytest.raises(OSError, match="400"):
        hooks.sandbox.control("POST", f"webhook_endpoints/{made.id}/roll", {"overlap_s": DAY_S + 1})


async def test_counts_tell_what_waits_and_what_was_taken(own_hooks: Hooks, own_api: Api) -> None:
    await own_hooks.endpoint(SUCCEEDED)
    paid = await own_api.pay()
    await own_hooks.settled((await own_hooks.event(SUCCEEDED, paid.id)).id)
    counts = own_hooks.sandbox.control("GET", "deliveries")
    assert counts == {"waiting": 0, "delivered": 1, "failed": 0}
