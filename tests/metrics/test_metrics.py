"""GET /metrics: what it says is so, who may read it, in which format, and how many series there can be."""

import asyncio
import http.client
import socket
import subprocess
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.accounts import ApiKeys, KeyTerms, Scope, create_key, revoke_key
from service.audit import Who
from service.duplicates import Flusher, Guard
from service.duplicates.absorbing import Memory
from service.foundation import log, metrics
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.monitoring import GAUGES, Gauges, exposed
from service.monitoring.gauges import CACHED_S
from service.ops.embedded import free_port
from service.web import metrics as web_metrics
from tests.metrics.conftest import scrape, values
from tests.metrics.rules import NO_PROMTOOL, PROMTOOL
from tests.web.conftest import Api, assert_problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric


async def _execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


def _read_anew(api: Api) -> None:
    """The next scrape looks at the database."""
    gauges: Gauges = api.server.app.state["resources"].gauges
    gauges._now.at = gauges._books.at = float("-inf")


async def test_requests_are_counted_by_the_template_of_their_route(api: Api) -> None:
    before = await scrape(api)
    labels = {"route": "/v1/orders/{order_id}", "method": "GET", "status": "404"}
    for _ in range(3):
        await api.http.get(f"/v1/orders/{uuid4()}")
    after = await scrape(api)
    was = sum(values(before, "eo_http_requests", **labels))
    assert values(after, "eo_http_requests", **labels) == [was + 3], after["eo_http_requests"].samples


async def test_what_a_client_invents_makes_no_series_of_its_own(api: Api) -> None:
    await scrape(api)

    async def series() -> int:
        return sum(len(family.samples) for family in (await scrape(api)).values())

    await api.http.request("PROPFIND", "/x")
    await api.http.get("/x")
    before = await series()
    for _ in range(20):
        await api.http.get(f"/{uuid4()}?{uuid4()}=1")
        await api.http.request("MKCOL", f"/v1/{uuid4()}")
        await api.http.get(f"/v1/orders/{uuid4()}/{uuid4()}")
    assert await series() <= before + 4  # at most one more route and status


async def test_the_gauges_say_what_the_database_says(api: Api, engine: AsyncEngine) -> None:
    for n in range(3):
        await api.order(f"k{n}")
    (row, *_) = await outbox.list_rows(engine)
    await outbox_park(engine, row["id"])
    memory = Memory()
    memory.add(Guard.TOKEN, None, 7)
    await Flusher(engine, "test", memory).flush()
    _read_anew(api)
    found = await scrape(api)
    assert values(found, "eo_outbox_pending") == [2]
    assert values(found, "eo_outbox_parked") == [1]
    assert values(found, "eo_duplicates_absorbed", guard="token") == [7]
    assert values(found, "eo_life_verified") == [1]
    assert values(found, "eo_postgres_durable") == [1, 1, 1]
    assert values(found, "eo_breaker_open") == [0]
    assert 0 <= values(found, "eo_outbox_due_seconds")[0] < 60


async def outbox_park(engine: AsyncEngine, row_id: UUID) -> None:
    await _execute(engine, f"UPDATE outbox SET parked_at = now() WHERE id = '{row_id}'")


async def test_every_gauge_is_there_and_none_that_is_not_described(api: Api) -> None:
    found = await scrape(api)
    gauges = {f"eo_{name}" for name in GAUGES}
    own = {family.name for family in metrics.REGISTRY.collect()}
    assert gauges <= set(found)
    assert set(found) <= gauges | own


async def test_it_is_asked_once_in_five_seconds_however_often_it_is_scraped(
    api: Api, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauges: Gauges = api.server.app.state["resources"].gauges
    now, looks = 1_000.0, 0
    gauges._clock = lambda: now
    look = gauges._of_database

    async def counted() -> Any:
        nonlocal looks
        looks += 1
        return await look()

    monkeypatch.setattr(Gauges, "_of_database", lambda _self: counted())
    await asyncio.gather(*(scrape(api) for _ in range(10)))
    for _ in range(3):  # also one after the other
        await scrape(api)
    assert looks == 1
    now += CACHED_S + 1
    await asyncio.gather(*(scrape(api) for _ in range(10)))
    assert looks == 2


async def test_books_that_do_not_balance_are_shown(api: Api, engine: AsyncEngine) -> None:
    await _execute(engine, "INSERT INTO ledger_accounts (account_id, code, currency, type) SELECT id, 'asset:x', 'usd',"
                           " 'asset' FROM accounts WHERE is_default")  # fmt: skip
    await _execute(engine, "INSERT INTO ledger_rollups SELECT max(id), current_date, 12, 5 FROM ledger_accounts")
    await _execute(engine, "UPDATE ledger_horizon SET xid = '1'")
    _read_anew(api)
    assert values(await scrape(api), "eo_ledger_imbalance_minor_units", currency="usd") == [7]


async def test_a_stranger_reads_nothing_also_through_a_proxy_on_the_same_machine(api: Api, engine: AsyncEngine) -> None:
    for headers in (
        {"Authorization": ""},
        {"Authorization": "", "X-Forwarded-For": "127.0.0.1"},
        {"Authorization": "", "Host": "localhost"},
        {"Authorization": "Bearer eo_test_" + "1" * 40},
    ):
        assert_problem(await api.http.get("/metrics", headers=headers), 401)


async def test_a_key_of_another_account_reads_nothing(api: Api, engine: AsyncEngine) -> None:
    _, key = await create_key(engine, "another", who=Who("test", "cli"))
    answer = await api.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert_problem(answer, 404)


async def test_a_key_without_its_scope_reads_nothing(api: Api, engine: AsyncEngine) -> None:
    """Also one of the default account, whose the whole installation is."""
    others = [scope for scope in Scope if scope not in (Scope.OPS_READ, Scope.ADMIN)]
    for scopes, status in ((others, 403), ([Scope.OPS_READ], 200)):
        _, key = await create_key(engine, "default", who=Who("test", "cli"), terms=KeyTerms(scopes))
        answer = await api.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status, scopes


async def test_openmetrics_is_given_to_whom_accepts_it(api: Api) -> None:
    await api.order("k")
    answer = await api.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert answer.text.endswith("# EOF\n")
    families: Iterable[Metric] = openmetrics.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]  # its types are not published
    assert "eo_http_requests" in {family.name for family in families}
    plain = await api.http.get("/metrics", headers={"Accept": "*/*"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_a_database_away_is_told_and_the_rest_is_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_engine: AsyncEngine) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr("service.monitoring.gauges._of_database", away)
    _read_anew(api)
    found = await scrape(api)
    assert values(found, "eo_postgres_up") == [0]
    assert values(found, "eo_redis_up") == [1]
    assert "eo_outbox_pending" not in found
    assert "eo_ledger_imbalance_minor_units" not in found
    assert "eo_http_requests" in found


async def test_while_postgresql_is_away_who_was_let_in_is_let_in_and_nobody_else(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scrape(api)

    async def away(*_: object) -> Any:
        raise Unavailable("PostgreSQL is away.")

    monkeypatch.setattr(ApiKeys, "caller", away)
    monkeypatch.setattr("service.monitoring.gauges._of_database", away)
    _read_anew(api)
    assert values(await scrape(api), "eo_postgres_up") == [0]
    stranger = await api.http.get("/metrics", headers={"Authorization": "Bearer eo_test_" + "1" * 40})
    assert_problem(stranger, 503)


async def test_who_was_let_in_is_let_in_for_an_hour_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(web_metrics, "_READERS", web_metrics.Readers(clock=lambda: now))
    await scrape(api)

    async def away(*_: object) -> Any:
        raise Unavailable("PostgreSQL is away.")

    monkeypatch.setattr(ApiKeys, "caller", away)
    now += 3_599
    assert (await api.http.get("/metrics")).status_code == 200
    now += 2
    assert_problem(await api.http.get("/metrics"), 503)


async def test_a_database_that_never_answers_does_not_hold_up_who_was_let_in(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scrape(api)

    async def frozen(*_: object) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr("service.web.metrics.KEY_CHECK_S", 0.05)
    monkeypatch.setattr("service.web.metrics.is_default", frozen)
    assert "eo_http_requests" in await scrape(api)
    other = await api.http.get("/metrics", headers={"Authorization": "Bearer eo_test_" + "1" * 40})
    assert other.status_code in (401, 503), "it is known to be wrong, or not known at all"


async def test_who_was_refused_since_is_not_let_in_while_postgresql_is_away(
    api: Api, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_id, key = await create_key(engine, "default", who=Who("test", "cli"))
    reader = {"Authorization": f"Bearer {key}"}
    assert (await api.http.get("/metrics", headers=reader)).status_code == 200
    await revoke_key(engine, public_id, who=Who("test", "cli"))
    while (refused := await api.http.get("/metrics", headers=reader)).status_code == 200:
        await asyncio.sleep(0.05)  # a key is remembered for a second
    assert_problem(refused, 401)

    async def away(*_: object) -> Any:
        raise Unavailable("PostgreSQL is away.")

    monkeypatch.setattr(ApiKeys, "caller", away)
    assert_problem(await api.http.get("/metrics", headers=reader), 503)


async def test_lines_of_the_log_are_counted_from_warning_on(api: Api) -> None:
    was = dict(log.COUNTED)
    log.event(Event.CHARGE_FENCED)
    log.event(Event.READY)
    lines = values(await scrape(api), "eo_log_events", event="charge.fenced", level="warning")
    assert lines == [was.get(("charge.fenced", "warning"), 0) + 1]
    assert ("ready", "info") not in log.COUNTED


@pytest.mark.skipif(not PROMTOOL, reason=NO_PROMTOOL)
async def test_prometheus_own_linter_has_nothing_to_say(api: Api) -> None:
    await api.order("k")
    metrics.stripe_call("post_payment_intents", 200, 0.1)
    metrics.settled("charge", "succeeded")
    body = (await api.http.get("/metrics")).text
    said = subprocess.run([PROMTOOL, "check", "metrics"], input=body, text=True, capture_output=True, check=False)  # noqa: ASYNC221
    assert (said.returncode, said.stderr) == (0, "")


def _two_free_ports() -> int:
    """The first of two neighbours that nobody listens at."""
    while True:
        port = free_port()
        with suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
            return port


def _get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def test_a_relay_and_a_worker_answer_at_ports_of_their_own(settings: Settings) -> None:
    settings = replace(settings, metrics_port=_two_free_ports())
    with exposed(settings, "relay"), exposed(settings, "worker"):
        for port in (settings.metrics_port, settings.metrics_port + 1):
            names = {family.name for family in text_string_to_metric_families(_get(port))}
            assert {"eo_outbox_published", "eo_effects_settled"} <= names
    with pytest.raises(OSError, match="refused"):
        _get(settings.metrics_port)


def test_a_port_that_is_taken_is_said_before_anything_starts(settings: Settings) -> None:
    settings = replace(settings, metrics_port=free_port())
    with (
        exposed(settings, "relay"),
        pytest.raises(Misconfigured, match="EO_METRICS_PORT of its own"),
        exposed(settings, "relay"),
    ):
        pass


def test_without_a_port_nothing_listens(settings: Settings) -> None:
    with exposed(settings, "relay"):
        assert settings.metrics_port == 0
