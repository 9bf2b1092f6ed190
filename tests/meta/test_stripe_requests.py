"""Whatever any code of ours sends to Stripe, the installed SDK's types know every name of it.

Each request is made for real, against a server that writes down what came over the wire. A newer SDK that has dropped
a name, or pins another version of the API, makes this red before Stripe does.
"""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec
import pytest
import stripe

from benchmarks import history, sdk
from demo.naive import Consumer
from service.charges.request import payment_intent_request
from service.effects.request import STRIPE_VERSION
from service.foundation.settings import Settings
from service.ops import webhooks
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.events import EVENT_TYPES
from service.stripe_gateway.marks import Marks, RefundMarks
from service.stripe_gateway.objects import Intent
from service.stripe_gateway.permissions import NEEDED
from tests.disputes.arguing import dispute_json, warning_json
from tests.meta.stripe_names import decode, problems
from tests.payouts.bodies import PAYOUT

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCancelParams, PaymentIntentCaptureParams, RefundCreateParams

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KEY = "sk_test_" + "0" * 24
ID = UUID("0192e4a0-0000-7000-8000-000000000001")
SENDERS = {
    "service/ops/chaos/deeds.py",  # which request the sandbox is to misbehave at; it sends none
    "service/stripe_gateway/calls.py", "service/stripe_gateway/client.py", "service/stripe_gateway/paths.py",
    "service/stripe_gateway/permissions.py", "service/stripe_gateway/traced.py",
    "benchmarks/sdk.py", "benchmarks/naive/worker.py", "demo/naive.py",
}  # fmt: skip
CREATE = "/v1/payment_intents"
INTENT = {"id": "pi_1", "object": "payment_intent", "created": 1, "amount": 1999, "currency": "usd",
          "status": "succeeded", "metadata": {}, "latest_charge": "ch_1", "client_secret": "pi_1_secret_1"}  # fmt: skip
REFUND = {"id": "re_1", "object": "refund", "created": 1, "amount": 1999, "currency": "usd", "status": "succeeded"}
MOVEMENT = {"id": "txn_1", "amount": 1999, "fee": 88, "net": 1911, "currency": "usd", "created": 1, "type": "charge"}


@dataclass(frozen=True)
class Sent:
    """One request, as it came over the wire."""

    method: str
    path: str
    form: str
    version: str | None

    def problems(self) -> list[str]:
        return problems(self.method, self.path, decode(self.form))


@dataclass
class Witness:
    """A Stripe that answers everything and writes everything down."""

    base: str = ""
    sent: list[Sent] = field(default_factory=list)

    def settings(self) -> Settings:
        return Settings(stripe_api_base=self.base, stripe_api_key=KEY)

    def environ(self) -> dict[str, str]:
        return {"STRIPE_API_BASE": self.base, "STRIPE_API_KEY": KEY, "REDIS_URL": "redis://127.0.0.1:9/0",
                "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}  # fmt: skip

    def answer(self, sent: Sent) -> dict[str, Any]:
        """A list has a second page, so that the cursor is sent, too."""
        item = LISTED.get(sent.path) if sent.method == "GET" else None
        one = next((body for path, body in RETRIEVED.items() if sent.path.startswith(path)), INTENT)
        return {"data": [item], "has_more": "starting_after" not in sent.form} if item else one


@pytest.fixture
def witness() -> Iterator[Witness]:
    found = Witness()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            where, body = urlsplit(self.path), self.rfile.read(int(self.headers.get("content-length") or 0))
            form = body.decode() or where.query
            sent = Sent(self.command, where.path, form, self.headers.get("stripe-version"))
            found.sent.append(sent)
            said = json.dumps(found.answer(sent)).encode()
            self.send_response(200)
            for name, value in {"Request-Id": "req_1", "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  the names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.base = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        server.shutdown()


async def _all(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


def request_with_everything(**changes: Any) -> dict[str, Any]:
    """What the service builds of an order that has every optional field."""
    marks = Marks(account_id=ID, order_id=ID, attempt=2, key="k", fingerprint=b"\x01" + bytes(32), instance=ID)
    order: dict[str, Any] = {
        "marks": marks, "amount": 1999, "currency": "usd",
        "payment_method": "pm_card_visa", "customer": "cus_1", "description": "a mug", "metadata": {"cart": "17"},
    }  # fmt: skip
    return {**payment_intent_request(**order), **changes}


CAPTURE: "PaymentIntentCaptureParams" = {"amount_to_capture": 1200, "expand": ["latest_charge.balance_transaction"]}
CANCEL: "PaymentIntentCancelParams" = {"cancellation_reason": "requested_by_customer"}
GIVE_BACK: "RefundCreateParams" = {
    "payment_intent": "pi_1", "amount": 700, "reason": "requested_by_customer",
    "metadata": RefundMarks(account_id=ID, order_id=ID, refund_id=ID, key="k", instance=ID).metadata({"cart": "17"}),
    "expand": ["balance_transaction", "failure_balance_transaction"],
}  # fmt: skip

# Every public call of the gateway, with every argument; `test_the_walk_leaves_no_call_out` holds the list complete.
CALLS: dict[str, Callable[[StripeGateway], Coroutine[Any, Any, Any]]] = {
    "create_payment_intent": lambda g: g.create_payment_intent(
        request_with_everything(), key="k", version=STRIPE_VERSION
    ),
    "post": lambda g: g.post(paths.capture("pi_1"), CAPTURE, key="k", version=STRIPE_VERSION),
    "get_payment_intent": lambda g: g.get_payment_intent("pi_1"),
    "get_refund": lambda g: g.get_refund("re_1"),
    "retrieve_payment_intent": lambda g: g.retrieve_payment_intent("pi_1"),
    "retrieve_refund": lambda g: g.retrieve_refund("re_1"),
    "retrieve_charge": lambda g: g.retrieve_charge("ch_1"),
    "confirmable": lambda g: g.confirmable("pi_1"),
    "list_refunds": lambda g: _all(g.list_refunds(payment_intent="pi_1", created_gte=1, created_lt=2)),
    "list_payment_intents": lambda g: _all(g.list_payment_intents(1, 2, "cus_1")),
    "list_balance_transactions": lambda g: _all(g.list_balance_transactions(1, 2)),
    "retrieve_balance_transaction": lambda g: g.retrieve_balance_transaction("txn_1"),
    "balance": lambda g: g.balance(),
    "clock": lambda g: g.clock(),
    "list_refund_failures": lambda g: _all(g.list_refund_failures(1, 2)),
    "list_undelivered_events": lambda g: _all(g.list_undelivered_events(1)),
    "list_webhook_endpoints": lambda g: _all(g.list_webhook_endpoints()),
    "event_destinations": lambda g: g.event_destinations(),
    "list_disputes": lambda g: _all(g.list_disputes(1, 2)),
    "retrieve_dispute": lambda g: g.retrieve_dispute("dp_1"),
    "list_fraud_warnings": lambda g: _all(g.list_fraud_warnings(1, 2)),
    "retrieve_fraud_warning": lambda g: g.retrieve_fraud_warning("issfr_1"),
    "list_payouts": lambda g: _all(g.list_payouts(1, 2)),
    "list_payout_transactions": lambda g: _all(g.list_payout_transactions("po_1", 1, 2)),
    "retrieve_payout": lambda g: g.retrieve_payout("po_1"),
    "key_of": lambda g: g.key_of(msgspec.convert(INTENT | {"id": "pi_other"}, Intent)),
    "account_id": lambda g: g.account_id(),
    "lacking_permissions": lambda g: g.lacking_permissions(),
}
CHARGE = {"id": "ch_1", "created": 1, "amount": 1999, "currency": "usd", "status": "succeeded", "captured": True}
DISPUTE, WARNING = dispute_json("pi_1"), warning_json("pi_1")
RETRIEVED: dict[str, dict[str, Any]] = {
    paths.REFUNDS: REFUND,
    paths.DISPUTES: DISPUTE,
    paths.FRAUD_WARNINGS: WARNING,
    paths.PAYOUTS: PAYOUT,
    paths.CHARGES: CHARGE,
    paths.WEBHOOK_ENDPOINTS: {"id": "we_1", "secret": "whsec_1"},
    f"{paths.BALANCE_TRANSACTIONS}/": MOVEMENT,
    paths.BALANCE: {"object": "balance", "available": [], "pending": []},
}
EVENT = {"id": "evt_1", "object": "event", "type": "payment_intent.created", "created": 1, "livemode": False,
         "data": {"object": {"id": "pi_1"}}, "request": {"id": "req_1", "idempotency_key": "k"}}  # fmt: skip
ENDPOINT = {"id": "we_1", "url": "https://example.com", "status": "enabled", "enabled_events": ["*"]}
LISTED = {
    paths.WEBHOOK_ENDPOINTS: ENDPOINT,
    paths.EVENT_DESTINATIONS: ENDPOINT,
    CREATE: INTENT,
    paths.REFUNDS: REFUND,
    paths.DISPUTES: DISPUTE,
    paths.FRAUD_WARNINGS: WARNING,
    paths.PAYOUTS: PAYOUT,
    paths.BALANCE_TRANSACTIONS: MOVEMENT,
    paths.EVENTS: EVENT,
}


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_of_the_gateway_sends_names_that_stripe_knows(witness: Witness, name: str) -> None:
    async with StripeGateway(witness.settings()) as gateway:
        await CALLS[name](gateway)
    expected = {"key_of": 2, "lacking_permissions": len(NEEDED)}
    assert len(witness.sent) == expected.get(name, 2 if name.startswith("list_") else 1)
    # A request that shall be refused leaves out what is required.
    meant = {"lacking_permissions": ["amount: missing", "currency: missing"]}.get(name, [])
    assert {problem for sent in witness.sent for problem in sent.problems()} == set(meant)
    assert {sent.version for sent in witness.sent} == {stripe.api_version}


EFFECTS = {
    "capture": (paths.capture("pi_1"), CAPTURE, "payment_intent"),
    "cancel": (paths.cancel("pi_1"), CANCEL, "payment_intent"),
    "refund": (paths.REFUNDS, GIVE_BACK, "refund"),
}


@pytest.mark.parametrize("effect", EFFECTS)
async def test_every_effect_sends_names_that_stripe_knows_and_reads_what_comes_back(
    witness: Witness, effect: str
) -> None:
    path, request, kind = EFFECTS[effect]
    async with StripeGateway(witness.settings()) as gateway:
        answer = await gateway.post(path, request, key="k", version=STRIPE_VERSION)
    assert [(sent.path, sent.problems(), sent.version) for sent in witness.sent] == [(path, [], stripe.api_version)]
    shown = {"payment_intent": answer.intent, "refund": answer.refund}
    assert [name for name, thing in shown.items() if thing] == [kind]
    assert answer.word == "200 succeeded"


def test_the_endpoint_of_eo_up_is_registered_by_names_that_stripe_knows(witness: Witness, tmp_path: Path) -> None:
    """Made once, and then told where the API listens now."""
    for port in (8000, 8001):
        api = f"http://127.0.0.1:{port}"
        assert webhooks.registered(tmp_path, stripe=witness.base, key=KEY, api=api) == "whsec_1"
    assert [(sent.path, sent.problems()) for sent in witness.sent] == [
        (paths.WEBHOOK_ENDPOINTS, []),
        (f"{paths.WEBHOOK_ENDPOINTS}/we_1", []),
    ]
    types = get_args(get_type_hints(stripe.Event)["type"])
    assert set(EVENT_TYPES) <= set(types)


def test_the_walk_leaves_no_call_out() -> None:
    public = {name for name, _ in inspect.getmembers(StripeGateway, inspect.isfunction) if name[0] != "_"}
    assert public == CALLS.keys()


def test_the_walk_leaves_no_file_out() -> None:
    """Who names a route of Stripe's, or the SDK's client, is one of those whose requests are made here.

    Orders, ledger, disputes, payouts, refunds, webhook endpoints and what begins with stripe/ are routes of our own API
    as well.
    """
    ours = "orders|ledger|disputes|payouts|refunds|webhook_endpoints|stripe"
    speaks = re.compile(rf"""["'/}}]/?v1/(?!{ours})[a-z_]+|\.v1\.|raw_request""")
    found = {
        str(file.relative_to(ROOT))
        for folder in ("service", "workers", "benchmarks", "demo")
        for file in (ROOT / folder).rglob("*.py")
        if speaks.search(_without_docstrings(file.read_text()))
    }
    assert found == SENDERS


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.unparse(tree)


def test_the_pinned_version_is_the_sdks() -> None:
    assert stripe.api_version == STRIPE_VERSION


async def test_the_sdks_benchmark_sends_names_that_stripe_knows(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in witness.environ().items():
        monkeypatch.setenv(name, value)
    while not witness.sent:  # on a busy machine the time may be over before a call has begun
        await sdk.run(sdk.Question(seconds=0.01, prefix="p"))
    assert [problem for sent in witness.sent for problem in sent.problems()] == []


async def test_the_usual_consumer_of_the_demo_sends_names_that_stripe_knows(witness: Witness) -> None:
    consumer = Consumer(witness.settings())
    async with aiohttp.ClientSession() as consumer._stripe:
        await consumer._charge("order", 1999)
        await consumer._refund("pi_1", 499)
    assert [sent.problems() for sent in witness.sent] == [[], []]


NAIVE = """
from types import SimpleNamespace
from benchmarks.naive import worker

order = SimpleNamespace(id="o", amount_minor=1999, currency="usd", payment_method="pm_card_visa",
                        details={"cart": "17"}, idempotency_key="k")
worker._thread.runner = SimpleNamespace(run=lambda step: (step.close(), order)[1])
worker.charge_order.fn("0192e4a0-0000-7000-8000-000000000001")
"""


def test_the_naive_benchmark_sends_names_that_stripe_knows(witness: Witness) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NAIVE], env=witness.environ(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [sent.problems() for sent in witness.sent] == [[]]


async def test_what_the_growth_benchmark_stores_is_what_the_service_would_send() -> None:
    stored = json.loads(history._request(ID, 1))
    built: dict[str, Any] = {**request_with_everything()}
    del built["customer"], built["description"]
    assert stored.keys() == built.keys()
    assert stored["metadata"].keys() == built["metadata"].keys()
    assert stored["automatic_payment_methods"] == built["automatic_payment_methods"]


def test_what_the_tutorial_sends_has_names_that_stripe_knows() -> None:
    shell = (ROOT / "docs/tutorial.md").read_text().replace("\\\n", " ")
    commands = [shlex.split(line) for line in shell.splitlines() if line.startswith("curl") and "$STRIPE" in line]
    assert commands
    for words in commands:
        data = [value for flag, value in pairwise(words) if flag == "-d"]
        path = next(word for word in words if word.startswith("$STRIPE")).removeprefix("$STRIPE")
        assert problems("POST", path, decode("&".join(data))) == []


def test_no_type_of_stripes_parameters_is_silenced() -> None:
    for folder in ("service", "workers", "benchmarks", "demo"):
        for file in (ROOT / folder).rglob("*.py"):
            assert "ignore[typeddict" not in file.read_text(), file


async def test_the_parameter_that_stopped_everything_would_be_found(witness: Witness) -> None:
    wrong = request_with_everything(payment_method_types=["card"])
    async with StripeGateway(witness.settings()) as gateway:
        await gateway.create_payment_intent(wrong, key="k", version=STRIPE_VERSION)
    assert [sent.problems() for sent in witness.sent] == [["payment_method_types: unknown"]]
