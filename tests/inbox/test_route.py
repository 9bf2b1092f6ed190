"""POST /v1/stripe/events: what Stripe signed is stored before it is acknowledged; everything else is one refusal."""

import asyncio
import hmac
import json
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from service.outbox import INBOX
from service.web.inbox import EVENT_BODY_MAX
from tests.inbox.conftest import ROLLED, SECRET, Endpoint, signed, snapshot, thin
from tests.web.conftest import assert_problem, serve


async def stored(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT * FROM stripe_events ORDER BY received_at, id"))
        return [dict(row) for row in rows.mappings()]


async def test_an_event_is_stored_and_then_acknowledged(endpoint: Endpoint, engine: AsyncEngine) -> None:
    event = snapshot("refund.updated", {"id": "re_1", "object": "refund", "status": "failed", "created": 1_790_000_000})
    answer = await endpoint.deliver(event)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    (row,) = await stored(engine)
    assert (row["id"], row["type"], row["object_id"]) == (event["id"], "refund.updated", "re_1")
    assert (row["thin"], row["source"], row["received"], row["settled_at"]) == (False, "webhook", 1, None)
    assert row["kept"] == {"object": "refund", "object_created": 1_790_000_000, "status": "failed", "request": "req_1"}


async def test_a_thin_event_is_stored_alike(endpoint: Endpoint, engine: AsyncEngine) -> None:
    assert (await endpoint.deliver(thin(about="pi_7", snapshot_event="evt_other"))).status_code == 200
    (row,) = await stored(engine)
    assert (row["object_id"], row["thin"]) == ("pi_7", True)
    assert row["stripe_created"].isoformat() == "2026-11-24T09:00:00.120000+00:00"
    assert row["kept"] == {"object": "payment_intent", "request": "req_1", "snapshot": "evt_other"}


async def test_nothing_but_what_is_allowed_is_kept(endpoint: Endpoint, engine: AsyncEngine) -> None:
    """R30: an event carries names, addresses, secrets, and whatever a version of tomorrow adds."""
    order = str(uuid4())
    about = {
        "id": "pi_1",
        "object": "payment_intent",
        "client_secret": "pi_1_secret_x",
        "charges": {"data": [{"billing_details": {"name": "Jenny", "email": "jenny@example.com"}}]},
        "payment_intent": {"id": "pi_1", "receipt_email": "jenny@example.com"},
        "charge": "ch_1 or '4242424242424242'",
        "status": "4242424242424242",
        "metadata": {"eo_order": order, "eo_key": "cart-17", "card": "4242424242424242"},
        "created": True,
    }
    await endpoint.deliver(snapshot(about=about))
    (row,) = await stored(engine)
    kept = {"object": "payment_intent", "payment_intent": "pi_1", "order": order, "request": "req_1"}
    assert row["kept"] == kept
    for secret in ("secret", "jenny", "Jenny", "4242", "cart-17"):
        assert secret not in repr(row)


async def test_a_repeat_is_acknowledged_and_counted(endpoint: Endpoint, engine: AsyncEngine) -> None:
    event = snapshot()
    for _ in range(3):
        assert (await endpoint.deliver(event)).status_code == 200
    assert [row["received"] for row in await stored(engine)] == [3]


async def test_many_at_once_are_each_stored_once(endpoint: Endpoint, engine: AsyncEngine) -> None:
    events = [snapshot(about=f"pi_{n}") for n in range(40)]
    answers = await asyncio.gather(*(endpoint.deliver(event) for event in [*events, *events, *events[:10]]))
    assert {answer.status_code for answer in answers} == {200}
    rows = {row["id"]: row["received"] for row in await stored(engine)}
    assert rows == {event["id"]: 3 if n < 10 else 2 for n, event in enumerate(events)}


async def test_while_a_secret_is_rolled_both_are_taken(endpoint: Endpoint) -> None:
    assert (await endpoint.deliver(snapshot(), secret=ROLLED)).status_code == 200
    assert (await endpoint.deliver(snapshot(), secret="whsec_" + "9" * 32)).status_code == 400


UNKNOWN_HERE = [
    snapshot("nobody.knows_this", "xx_1"),
    snapshot("balance.available", {"object": "balance", "available": []}),
    snapshot(livemode=True),
    snapshot(account="acct_other"),
    thin("v2.money_management.outbound_payment.created", "obp_1", context="org_1/acct_2"),
    thin("v1.balance.available", related_object={"type": "balance", "url": "/v1/balance"}),
    thin("v2.core.health.event", related_object=None),
    snapshot(request="req_of_an_old_version"),
    snapshot(request=None),
]


async def test_what_nobody_knows_here_is_stored_all_the_same(endpoint: Endpoint, engine: AsyncEngine) -> None:
    for event in UNKNOWN_HERE:
        assert (await endpoint.deliver(event)).status_code == 200, event
    rows = {row["id"]: row for row in await stored(engine)}
    for event in UNKNOWN_HERE:
        kept, account = rows[event["id"]]["kept"], event.get("account") or event.get("context")
        assert (kept.get("account"), kept.get("livemode", False)) == (account, event["livemode"])


NO_EVENTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "no UTF-8": b'{"object": "event", "x": "\xff"}',
    "an envelope": json.dumps({"version": "0", "detail": snapshot()}).encode(),
    "another object": json.dumps({**snapshot(), "object": "payment_intent"}).encode(),
    "no id": json.dumps({**snapshot(), "id": ""}).encode(),
    "an id of something else": json.dumps({**snapshot(), "id": "pi_1"}).encode(),
    "an id with a NUL": json.dumps({**snapshot(), "id": "evt_\0"}).encode(),
    "a type with a NUL": json.dumps({**snapshot(), "type": "a\0b"}).encode(),
    "no moment": json.dumps({**snapshot(), "created": "now"}).encode(),
    "a moment beyond all": json.dumps({**snapshot(), "created": 10**12}).encode(),
    "a thin moment beyond all": json.dumps(thin(created="0001-01-01T00:00:00+14:00")).encode(),
    "no data": json.dumps({**snapshot(), "data": None}).encode(),
    "nested": b'{"object": "event", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


async def test_whatever_is_no_event_of_stripes_is_one_and_the_same_400(endpoint: Endpoint, engine: AsyncEngine) -> None:
    body = json.dumps(snapshot()).encode()
    right = signed(body)
    refused = [await endpoint.send(raw, _signed(raw)) for raw in NO_EVENTS.values()]
    refused += [
        await endpoint.send(body, {}),
        await endpoint.send(body, {"Stripe-Signature": ""}),
        await endpoint.send(body, {**right, "Stripe-Signature": right["Stripe-Signature"][:-1]}),
        await endpoint.send(body + b" ", right),
        await endpoint.send(body, signed(body, moment=1_790_000_000)),
        await endpoint.send(body, signed(body, secret="whsec_" + "0" * 32)),
        await endpoint.api.http.post("/v1/stripe/events", content=body, headers={"Content-Type": "application/json"}),
    ]
    said = []
    for answer in refused:
        problem = assert_problem(answer, 400, "signature-invalid")
        said.append({name: value for name, value in problem.items() if name != "request_id"})
    assert all(one == said[0] for one in said)
    assert await stored(engine) == []


def _signed(raw: bytes) -> dict[str, str]:
    """As `signed`, of what is no text, too."""
    moment = int(time.time())
    return {"Stripe-Signature": f"t={moment},v1={hmac.digest(SECRET.encode(), b'%d.' % moment + raw, 'sha256').hex()}"}


async def test_two_signature_headers_are_refused(endpoint: Endpoint) -> None:
    body = json.dumps(snapshot()).encode()
    header = signed(body)["Stripe-Signature"]
    headers = [("Stripe-Signature", header), ("Stripe-Signature", header)]
    answer = await endpoint.api.http.post("/v1/stripe/events", content=body, headers=headers)
    assert_problem(answer, 400, "signature-invalid")


async def test_a_body_of_any_type_is_read_as_it_is(endpoint: Endpoint) -> None:
    body = json.dumps(snapshot()).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        assert (await endpoint.send(body, signed(body) | {"Content-Type": kind})).status_code == 200


async def test_a_body_over_its_bound_is_413(endpoint: Endpoint) -> None:
    body = json.dumps(snapshot(filler="x" * EVENT_BODY_MAX)).encode()
    assert_problem(await endpoint.send(body, signed(body)), 413, "content-too-large")
    body = json.dumps(snapshot(filler="x" * (EVENT_BODY_MAX - 1_000))).encode()
    assert (await endpoint.send(body, signed(body))).status_code == 200


async def test_without_a_secret_the_endpoint_is_not_there(settings: Settings) -> None:
    async with serve(settings) as api:
        endpoint = Endpoint(api)
        assert_problem(await endpoint.deliver(snapshot()), 404, "not-found")
        assert_problem(await endpoint.send(b"", {}), 404, "not-found")


async def test_an_event_that_is_stored_wakes_the_relays_and_a_repeat_does_not(
    endpoint: Endpoint, settings: Settings
) -> None:
    woken = asyncio.Event()
    listener = await asyncpg.connect(settings.database_url)
    await listener.add_listener(INBOX, lambda *_: woken.set())
    event = snapshot()
    await endpoint.deliver(event)
    async with asyncio.timeout(5):
        await woken.wait()
    woken.clear()
    await endpoint.deliver(event)
    await listener.execute("SELECT")
    assert not woken.is_set()
    await listener.close()


@pytest.mark.slow
async def test_while_postgresql_is_away_stripe_is_asked_to_send_it_again(
    with_secrets: Settings, own_postgres: Postgres
) -> None:
    event = snapshot()
    async with serve(replace(with_secrets, database_url=own_postgres.url)) as api:
        endpoint = Endpoint(api)
        own_postgres.kill()
        answer = await endpoint.deliver(event)
        assert_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        own_postgres.start()
        async with asyncio.timeout(10):
            while (await endpoint.deliver(event)).status_code != 200:
                await asyncio.sleep(0.05)
