"""Events that come twice, under two ids, out of order, late, never, forged, or before the answer that caused them."""

import json
import threading
from typing import Any

import pytest
import stripe
from stripe import InvalidRequestError, SignatureVerificationError

from sandbox.faults import Plan, PlanText, Rule
from tests.sandbox.client import failure, new_key, order
from tests.sandbox.hooks import Hooks
from tests.sandbox.process import SandboxProcess
from tests.sandbox.receiver import Post

SUCCEEDED, CREATED = "payment_intent.succeeded", "payment_intent.created"
STRIKE: dict[str, Any] = {"event": SUCCEEDED, "times": 1}


async def test_a_duplicate_comes_twice_under_one_id(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    hooks.sandbox.faults(STRIKE | {"fault": "event_duplicate"})
    paid = await hooks.api.pay()
    one, two = await hooks.got(2)
    assert one.verified(made.secret).id == two.verified(made.secret).id
    event = await hooks.event(SUCCEEDED, paid.id)
    await hooks.settled(event.id)
    assert (await hooks.api.v1.events.retrieve_async(event.id)).pending_webhooks == 0
    assert hooks.sandbox.fired() == [1]


async def test_a_double_tells_one_fact_under_two_ids(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    thin = await hooks.destination(f"v1.{SUCCEEDED}")
    hooks.sandbox.faults(STRIKE | {"fault": "event_double"})
    paid = await hooks.api.pay()
    posts = await hooks.got(4)
    told = [post.verified(made.secret) for post in posts if post.path == "/hooks"]
    notified = [
        post.notified(hooks.api.client, thin.webhook_endpoint.signing_secret) for post in posts if post.path == "/thin"
    ]
    assert len({event.id for event in (*told, *notified)}) == 4
    assert {event.data.object["id"] for event in told} == {event.related_object.id for event in notified} == {paid.id}
    listed = (await hooks.api.v1.events.list_async({"type": SUCCEEDED, "limit": 100})).data
    assert {event.id for event in told} == {event.id for event in listed if event.data.object["id"] == paid.id}


async def test_a_dropped_event_is_listed_as_not_delivered(hooks: Hooks) -> None:
    await hooks.endpoint(SUCCEEDED, CREATED)
    hooks.sandbox.faults(STRIKE | {"fault": "event_drop"})
    paid = await hooks.api.pay()
    (post,) = await hooks.got(1)
    event = await hooks.event(SUCCEEDED, paid.id)
    (dropped,) = await hooks.settled(event.id)
    assert json.loads(post.body)["type"] == CREATED
    assert (dropped["state"], dropped["tries"], event.pending_webhooks) == ("failed", 0, 1)
    undelivered = (await hooks.api.v1.events.list_async({"delivery_success": False})).data
    assert event.id in [found.id for found in undelivered]


async def test_an_event_whose_making_failed_is_nowhere(hooks: Hooks) -> None:
    await hooks.endpoint(SUCCEEDED)
    hooks.sandbox.faults(STRIKE | {"fault": "event_drop", "listed": False})
    paid = await hooks.api.pay()
    second = await hooks.api.pay()
    (post,) = await hooks.got(1)
    assert json.loads(post.body)["data"]["object"]["id"] == second.id
    for events in (hooks.api.v1.events.list_async({"limit": 100}), hooks.v2.events.list_async({"object_id": paid.id})):
        told = [event.type for event in (await events).data if paid.id in str(event)]
        assert told
        assert not any(kind.endswith(SUCCEEDED) for kind in told)
    assert (await hooks.api.intents.retrieve_async(paid.id)).status == "succeeded"


@pytest.mark.parametrize("sign", ["wrong_secret", "old", "changed_body"])
async def test_a_forged_event_is_refused_by_stripes_verifier_and_the_true_one_follows(hooks: Hooks, sign: str) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    name, refused = new_key(), []

    def answer(post: Post) -> int:
        try:
            post.verified(made.secret)
        except SignatureVerificationError as error:
            refused.append(str(error))
            return 400
        return 200

    hooks.receiver.answer = answer
    hooks.sandbox.faults(STRIKE | {"fault": "event_missign", "sign": sign, "metadata_order": name})
    paid = await hooks.api.pay(metadata=order(name))
    (delivery,) = await hooks.settled((await hooks.event(SUCCEEDED, paid.id)).id)
    forged, true = [post for post in hooks.receiver.posts if name.encode() in post.body]
    assert (delivery["state"], delivery["tries"], len(refused)) == ("delivered", 2, 1)
    assert ("outside the tolerance" if sign == "old" else "No signatures found matching") in refused[0]
    assert true.verified(made.secret).data.object["id"] == paid.id
    assert (forged.signature, forged.body) != (true.signature, true.body)


async def test_an_event_of_the_future_is_not_refused_by_stripes_verifier(hooks: Hooks) -> None:
    made = await hooks.endpoint(SUCCEEDED)
    hooks.sandbox.faults(STRIKE | {"fault": "event_missign", "sign": "future"})
    await hooks.api.pay()
    (post,) = await hooks.got(1)
    signed_at = int(post.signature.split(",")[0].removeprefix("t="))
    assert post.verified(made.secret).created < signed_at - 3000


async def test_an_event_may_be_late(own_hooks: Hooks, own_sandbox: SandboxProcess) -> None:
    await own_hooks.endpoint(SUCCEEDED)
    own_sandbox.faults(STRIKE | {"fault": "event_delay", "delay_s": 600})
    late, prompt = await own_hooks.api.pay(), await own_hooks.api.pay()
    (first,) = await own_hooks.got(1)
    own_sandbox.control("POST", "clock", {"advance_s": 600})
    _, second = await own_hooks.got(2)
    assert [json.loads(post.body)["data"]["object"]["id"] for post in (first, second)] == [prompt.id, late.id]


async def test_events_come_in_another_order_than_they_happened(own_hooks: Hooks, own_sandbox: SandboxProcess) -> None:
    await own_hooks.endpoint(CREATED)
    own_sandbox.faults({"fault": "event_reorder", "delay_s": 1000}, seed=4)
    made = [(await own_hooks.api.create()).id for _ in range(4)]
    shares = []
    plan = Plan(PlanText([Rule("event_reorder", delay_s=1000)], 4))
    for _ in made:
        struck = plan.pick_for_event(CREATED, None)
        assert struck is not None
        shares.append(struck[1])
    for step in range(20):
        own_sandbox.control("POST", "clock", {"advance_s": 50})
        due = sum(share * 1000 < (step + 1) * 50 for share in shares)
        await own_hooks.got(due)
    told = [json.loads(post.body)["data"]["object"]["id"] for post in await own_hooks.got(4)]
    assert told == [made[place] for place in sorted(range(4), key=lambda place: shares[place])]
    assert told != made


async def test_an_event_may_come_before_the_answer_that_caused_it(hooks: Hooks) -> None:
    await hooks.endpoint(SUCCEEDED)
    hooks.sandbox.faults(STRIKE | {"fault": "event_before_answer"})
    slowly = threading.Event()
    hooks.receiver.answer = lambda _: 500 if slowly.wait(0.2) else 200
    await hooks.api.pay()
    assert [json.loads(post.body)["type"] for post in hooks.receiver.posts] == [SUCCEEDED]


async def test_only_events_of_the_named_order_are_struck(hooks: Hooks) -> None:
    await hooks.endpoint("refund.created", SUCCEEDED)
    mine, other = new_key(), new_key()
    hooks.sandbox.faults({"fault": "event_drop", "metadata_order": mine})
    paid = [await hooks.api.pay(metadata=order(name)) for name in (mine, other)]
    for intent in paid:
        await hooks.api.v1.refunds.create_async({"payment_intent": intent.id})
    told = [json.loads(post.body)["data"]["object"] for post in await hooks.got(2)]
    assert {told.get("payment_intent") or told["id"] for told in told} == {paid[1].id}


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "event_drop", "method": "POST"},
        {"fault": "event_drop", "path": "charges"},
        {"fault": "html_502", "event": "charge"},
        {"fault": "event_drop", "event": "("},
        {"fault": "event_missign", "sign": "nonsense"},
    ],
)
def test_a_rule_that_can_select_nothing_is_refused(sandbox: SandboxProcess, rule: dict[str, Any]) -> None:
    with pytest.raises(OSError, match="400"):
        sandbox.faults(rule)


def test_a_plan_strikes_the_same_events_under_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        plan = Plan(PlanText([Rule("event_drop", probability=0.5)], seed))
        return [plan.pick_for_event(SUCCEEDED, None) is not None for _ in range(50)]

    assert struck(1) == struck(1) != struck(2)


async def test_a_refused_request_tells_nobody(hooks: Hooks) -> None:
    await hooks.endpoint()
    await failure(hooks.api.pay(amount=1), InvalidRequestError)
    with pytest.raises(stripe.CardError):
        await hooks.api.pay("pm_card_visa_chargeDeclined")
    posts = await hooks.got(3)
    assert len({json.loads(post.body)["id"] for post in posts}) == 3
