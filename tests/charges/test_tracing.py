"""One trace from a producer's request to Stripe's, read by OpenTelemetry's own SDK."""

import asyncio
import importlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from dramatiq import Message
from dramatiq.broker import MessageProxy
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from uuid_utils.compat import uuid7

from service.foundation import tracing
from service.foundation.errors import Misconfigured
from tests.charges.conftest import QUICK
from tests.charges.world import World
from tests.sandbox.process import SandboxProcess
from tests.web.conftest import Api, serve
from workers.broker import make_broker
from workers.relay import Relay
from workers.traced import TracedMessages

STRANGER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736

# The headers of W3C's own test suite for Trace Context (test/test.py there) and whether the trace goes on.
ALL = "12345678901234567890123456789012-1234567890123456"
W3C = [
    (f"00-{ALL}-01", True),
    (f"00-{ALL}-00", True),
    (f" 00-{ALL}-01", True),
    (f"\t00-{ALL}-01", True),
    (f"00-{ALL}-01 ", True),
    (f"cc-{ALL}-01", True),
    (f"cc-{ALL}-01-what-the-future-will-be-like", True),
    (f"cc-{ALL}-01.what-the-future-will-be-like", False),
    (f"00-{ALL}-01.", False),
    (f"00-{ALL}-01-what-the-future-will-be-like", False),
    (f"ff-{ALL}-01", False),
    (f".0-{ALL}-01", False),
    (f"0.-{ALL}-01", False),
    (f"000-{ALL}-01", False),
    (f"0-{ALL}-01", False),
    ("00-00000000000000000000000000000000-1234567890123456-01", False),
    ("00-.2345678901234567890123456789012-1234567890123456-01", False),
    ("00-1234567890123456789012345678901.-1234567890123456-01", False),
    ("00-123456789012345678901234567890123-1234567890123456-01", False),
    ("00-1234567890123456789012345678901-1234567890123456-01", False),
    ("00-12345678901234567890123456789012-0000000000000000-01", False),
    ("00-12345678901234567890123456789012-.234567890123456-01", False),
    ("00-12345678901234567890123456789012-123456789012345.-01", False),
    ("00-12345678901234567890123456789012-12345678901234567-01", False),
    ("00-12345678901234567890123456789012-123456789012345-01", False),
    (f"00-{ALL}-.0", False),
    (f"00-{ALL}-0.", False),
    (f"00-{ALL}-001", False),
    (f"00-{ALL}-1", False),
    (f"00-{ALL}-01".upper().replace("1234567890123456-", "ABCDEFABCDEFABCD-"), False),
    ("", False),
    ("0" * 10_000, False),
]

_EXPORTER = InMemorySpanExporter()


def set_up() -> None:
    """What EO_TRACES names in these tests: a provider of the SDK, once per process."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
        trace.set_tracer_provider(provider)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Traces are on."""
    _EXPORTER.clear()
    tracing.start(f"{__name__}:set_up")
    yield _EXPORTER
    tracing.spans = None


class StripeInBetween:
    """Passes requests on to the sandbox, and keeps the headers of each."""

    def __init__(self, base: str) -> None:
        self.heard: list[tuple[str, dict[str, str]]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                heard.append((f"{self.command} {self.path}", {name.lower(): v for name, v in self.headers.items()}))
                body = self.rfile.read(int(self.headers.get("content-length") or 0)) or None
                answer = httpx.request(self.command, base + self.path, content=body, headers=dict(self.headers))
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "content-encoding"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = _pass_on  # noqa: N815  the names that http.server calls

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def posts(self) -> list[dict[str, str]]:
        return [headers for what, headers in self.heard if what.startswith("POST")]


@pytest.fixture
def between(stripe: SandboxProcess) -> Iterator[StripeInBetween]:
    one = StripeInBetween(stripe.base)
    yield one
    one.close()


class Kept:
    """A broker that keeps the messages, as bytes."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def enqueue(self, message: Message[Any]) -> None:
        self.messages.append(message.encode())


async def relayed(world: World, between: StripeInBetween) -> None:
    """Everything that is due goes through a relay and a worker, as messages do."""
    kept = Kept()
    settings = replace(world.settings, stripe_api_base=between.base, **QUICK)
    await Relay(world.engine, kept, settings).run_once()
    worker = await world.worker(stripe_api_base=between.base)
    broker, middleware = make_broker(settings), TracedMessages()
    for encoded in kept.messages:
        message: Message[Any] = Message.decode(encoded)
        proxy = MessageProxy(message)

        async def act(proxy: MessageProxy = proxy, message: Message[Any] = message) -> None:
            middleware.before_process_message(broker, proxy)
            await worker.charge(
                [row["id"] for row in await world.all("SELECT id FROM outbox") if str(row["id"]) in message.args[0]]
            )
            middleware.after_process_message(broker, proxy)

        await asyncio.create_task(act())


def by_name(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


async def test_a_charge_and_its_refund_are_each_one_trace_from_the_request_to_stripe(
    world: World, between: StripeInBetween, exporter: InMemorySpanExporter
) -> None:
    async with serve(world.settings) as api:
        answer = await api.http.post(
            "/v1/orders",
            json={"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa", "description": "for-nobody"},
            headers={
                "Idempotency-Key": f"trace:{uuid7()}", "traceparent": STRANGER, "tracestate": "a=1",
                "baggage": "amount=1999",
            },
        )  # fmt: skip
        await relayed(world, between)
        server, create = by_name(exporter, "POST /v1/orders"), by_name(exporter, "create charge")
        process, client = by_name(exporter, "process charge"), by_name(exporter, "POST payment_intents")
        kinds = [span.kind for span in (server, create, process, client)]
        assert kinds == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]
        assert {span.context.trace_id for span in (server, create, process, client)} == {TRACE_ID}
        assert parent_of(server) == 0x00F067AA0BA902B7
        assert [parent_of(create), parent_of(process), parent_of(client)] == [
            id_of(server),
            id_of(create),
            id_of(process),
        ]
        (posted,) = between.posts()
        assert posted["traceparent"] == f"00-{TRACE_ID:032x}-{id_of(client):016x}-01"
        assert not {"tracestate", "baggage"} & posted.keys()
        exporter_text = "".join(span.to_json() for span in exporter.get_finished_spans())
        assert "for-nobody" not in exporter_text
        assert "1999" not in exporter_text
        for name in ("send charge", "receive charge"):
            assert [link.context.span_id for link in by_name(exporter, name).links] == [id_of(create)]

        exporter.clear()
        order = answer.json()["id"]
        refund = {"Idempotency-Key": f"trace:{uuid7()}", "traceparent": STRANGER}
        assert (await api.http.post(f"/v1/orders/{order}/refunds", json={}, headers=refund)).status_code == 201
        await relayed(world, between)
        client = by_name(exporter, "POST refunds")
        assert client.context.trace_id == TRACE_ID
        assert between.posts()[-1]["traceparent"] == f"00-{TRACE_ID:032x}-{id_of(client):016x}-01"


async def test_a_batch_is_linked_to_each_of_its_orders_which_keep_their_own_traces(
    world: World, between: StripeInBetween, exporter: InMemorySpanExporter
) -> None:
    order = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa"}
    async with serve(world.settings) as api:
        for _ in range(3):
            await api.http.post("/v1/orders", json=order, headers={"Idempotency-Key": f"trace:{uuid7()}"})
    await relayed(world, between)
    spans = exporter.get_finished_spans()
    created = {s.context.span_id: s.context.trace_id for s in spans if s.name == "create charge"}
    assert len(set(created.values())) == 3
    for name in ("send charge", "receive charge"):
        assert {link.context.span_id for link in by_name(exporter, name).links} == created.keys()
    assert {parent_of(s): s.context.trace_id for s in spans if s.name == "process charge"} == created


async def test_a_retry_stays_in_the_trace_and_an_old_row_is_linked_instead(
    world: World, between: StripeInBetween, exporter: InMemorySpanExporter
) -> None:
    create = tracing.spans.created("charge") if tracing.spans else ""
    assert tracing.spans is not None
    for age_s, goes_on in ((0, True), (599, True), (601, False), (86_400, False)):
        with tracing.spans.processing("charge", create, age_s, {}) as span:
            assert (span.get_span_context().trace_id == int(create[3:35], 16)) is goes_on
    *_, old = exporter.get_finished_spans()
    assert [link.context.span_id for link in old.links] == [int(create[36:52], 16)]
    assert old.parent is None


@pytest.mark.parametrize(("header", "goes_on"), W3C, ids=[str(n) for n in range(len(W3C))])
def test_a_strangers_header_is_read_as_w3c_tests_it(header: str, goes_on: bool) -> None:
    spans = importlib.import_module("service.foundation.spans")
    assert bool(spans.sent([(b"traceparent", header.encode())])) is goes_on
    theirs = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": header}))
    assert theirs.get_span_context().is_valid is goes_on, "OpenTelemetry reads it so, too"


def test_two_headers_are_none() -> None:
    spans = importlib.import_module("service.foundation.spans")
    one = (b"traceparent", STRANGER.encode())
    assert spans.sent([one])
    assert spans.sent([one, one]) == ""
    assert spans.sent([]) == ""


async def test_a_line_of_the_log_names_its_trace(
    world: World, between: StripeInBetween, exporter: InMemorySpanExporter, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serve(world.settings) as api:
        await _order(api)
    await relayed(world, between)
    await asyncio.sleep(0)
    lines = capfd.readouterr().err
    assert lines.count(f'"trace_id":"{TRACE_ID:032x}"') == 2, "the request's and the attempt's"


async def _order(api: Api) -> None:
    headers = {"Idempotency-Key": f"trace:{uuid7()}", "traceparent": STRANGER}
    body = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa"}
    assert (await api.http.post("/v1/orders", json=body, headers=headers)).status_code == 201


async def test_with_traces_off_nothing_is_stored_or_sent(world: World, between: StripeInBetween) -> None:
    assert tracing.spans is None
    async with serve(world.settings) as api:
        await _order(api)
    assert await world.all("SELECT headers FROM outbox WHERE headers <> '{}'") == []
    await relayed(world, between)
    assert "traceparent" not in between.posts()[0]


@pytest.mark.parametrize("named", ["no.such.module:f", "json:no_such", "json", "json:loads"])
def test_a_function_that_sets_no_provider_is_refused_at_the_start(named: str) -> None:
    with pytest.raises(Misconfigured, match="EO_TRACES="):
        tracing.start(named)
