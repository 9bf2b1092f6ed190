"""An order's timeline says in words why it waits and what to do; where several things keep it, the nearest cause."""

from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.monitoring.heartbeats import Heart
from service.orders.why_waiting import Owed, why
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Standstill
from tests.web.conftest import Api

OK = dict.fromkeys(("stripe", "memory", "redis", "relay", "worker"), "ok")


def owed(last_error: str | None = None, *, parked: bool = False, out: bool = False, due_in_s: float = 30.0) -> Owed:
    return Owed(parked, out, due_in_s, last_error)


@pytest.mark.parametrize(
    ("row", "words", "step"),
    [
        (owed(), "due in 30 s", "by itself"),
        (owed(due_in_s=-12), "due for 12 s and waits for a relay", "by itself"),
        (owed(out=True), "with a worker", "by itself"),
        (owed("429 rate_limit"), "fewer calls (429)", "EO_STRIPE_MAX_RPS"),
        (owed("429 lock_timeout"), "same object", "tried again"),
        (owed("401 api_key_expired"), "refused our API key", "STRIPE_API_KEY"),
        (owed("403 permission"), "did not allow", "dashboard"),
        (owed("500 api_error"), "error of its own", "what it did"),
        (owed("breaker open: 400 parameter_unknown"), "nothing was sent", "/health/ready"),
        (owed("Stripe is being asked what this database may have forgotten"), "was forgotten", "eo recover"),
        (owed("200 requires_capture"), "held", "Capture or cancel"),
        (owed("TimeoutError"), "lost or unclear", "what it did"),
        (owed("key_conflict: pi_1", parked=True), "parked for a human", "eo outbox retry"),
        (owed("refused: 400 x, and other orders are not", parked=True), "takes others", "retry"),
        (owed("unfinished: pi_1 is processing", parked=True), "no end at Stripe", "dashboard"),
        (owed("books: pi_1", parked=True), "the books refused", "Compare"),
        (owed(None, parked=True), "a human has to decide", "docs/howto/parked-rows.md"),
    ],
)
def test_each_reason_has_words_and_a_next_step(row: Owed, words: str, step: str) -> None:
    waits_for, next_step = why(row, OK)
    assert words in waits_for
    assert step in next_step


def test_what_stops_everybody_is_told_before_what_the_order_met() -> None:
    no_worker = OK | {"worker": "No worker runs."}
    assert why(owed("500 api_error"), no_worker)[0] == "No worker runs."
    assert why(owed(), no_worker | {"stripe": "Nothing is sent."})[0] == "Nothing is sent."
    assert "parked" in why(owed("poison", parked=True), no_worker)[0]


async def due(api: Api, order_id: str) -> dict[str, Any]:
    events = (await api.http.get(f"/v1/orders/{order_id}/timeline")).json()["data"]
    return next(event for event in events if event["event"].startswith(("outbox.due", "outbox.parked")))


async def test_the_timeline_names_the_missing_worker_the_breaker_and_the_parking(
    api: Api, settings: Settings, engine: AsyncEngine
) -> None:
    order_id = (await api.order("k1")).json()["id"]
    async with Redis.from_url(settings.redis_url) as redis:
        await Heart(redis, "relay").beat()
        event = await due(api, order_id)
        assert "Start `eo worker`" in event["waits_for"]
        assert event["due_in_s"] <= 0
        await standstill.announce(redis, Standstill("401 api_key_expired", refused=False), for_s=60)
        api.server.app.state["resources"].readiness._looked_at = float("-inf")
        assert "401 api_key_expired" in (await due(api, order_id))["waits_for"]
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE outbox SET parked_at = now(), last_error = 'poison'"))
    parked = await due(api, order_id)
    assert (parked["event"], parked["reason"]) == ("outbox.parked", "poison")
    assert "eo outbox retry" in parked["next_step"]
