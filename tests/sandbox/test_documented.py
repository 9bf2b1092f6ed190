"""Every parameter, word, route and expansion in the SDK's types: taken, or refused as a limit of the sandbox.

Stripe's types say what is right here, and the sandbox's own copy of them is held to the SDK first.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
import stripe

from sandbox import documented as ours
from sandbox.routes import ROUTES
from sandbox.state import API_VERSION
from service.effects.request import STRIPE_VERSION
from tests.sandbox import documented
from tests.sandbox.cases import Tree, hashes, kind_of, put, values
from tests.sandbox.client import NO_REDIRECTS
from tests.sandbox.process import SandboxProcess
from tests.sandbox.wire import Answer, Connection

CREATE, CONFIRM = "POST payment_intents", "POST payment_intents/:id/confirm"
CAPTURE, REFUND = "POST payment_intents/:id/capture", "POST refunds"
ENDPOINT, DESTINATION = "POST webhook_endpoints", "POST v2/core/event_destinations"
HOOKS = "https://shop.example/hooks"
BASE: dict[str, Tree] = {
    CREATE: {"amount": 2000, "currency": "usd"},
    "POST payouts": {"amount": 1, "currency": "usd"},
    ENDPOINT: {"url": HOOKS, "enabled_events": ["*"]},
    DESTINATION: {
        "name": "mine",
        "type": "webhook_endpoint",
        "event_payload": "snapshot",
        "enabled_events": ["*"],
        "webhook_endpoint": {"url": HOOKS},
    },
}
PAY = {"confirm": True, "payment_method": "pm_card_visa", "return_url": "https://shop.example/back"}
OPEN = {"payment_method": "pm_card_visa", "automatic_payment_methods": NO_REDIRECTS}
# What a parameter needs beside it, by Stripe's own words on it.
BESIDE: dict[tuple[str, str], Tree] = {
    (CREATE, name): PAY for name in ("confirm", "off_session", "return_url", "error_on_requires_action")
}
HELD = OPEN | {"confirm": True, "capture_method": "manual"}
# Documented, and refused by Stripe itself for cards, which is all that pays here.
REFUSED_FOR_CARDS = {(CREATE, "statement_descriptor"), (CAPTURE, "statement_descriptor")}
UNKNOWN = "colour"


def _kind(endpoint: str) -> str:
    """What an endpoint is about, as its address names it, such as `refunds`."""
    return re.sub(r"/:id.*", "", endpoint.partition(" ")[2].removeprefix("v2/core/"))


class Case(NamedTuple):
    """A request that has one documented parameter in it, at `path`."""

    path: str
    params: Tree


class Objects:
    """Objects of the shared sandbox, to be named in requests."""

    def __init__(self, wire: Connection, sandbox: SandboxProcess) -> None:
        self.wire = wire
        self.control = partial(sandbox.control, "POST", body={})
        paid = wire.send("POST", "/v1/payment_intents", BASE[CREATE] | PAY).body
        self.open: dict[str, str] = {}
        self.secret = paid["client_secret"]
        self.intent = paid["id"]
        wire.send("GET", "/v1/charges")
        self.ids = {
            kind: wire.send("GET", f"/v1/{kind}").body["data"][0]["id"]
            for kind in ("payment_intents", "charges", "balance_transactions", "events")
        }
        self.ids["refunds"] = self.refund("pm_card_visa")
        self.ids["disputes"] = self.dispute()
        self.ids["radar/early_fraud_warnings"] = self.warning()
        self.ids["webhook_endpoints"] = wire.send("POST", "/v1/webhook_endpoints", BASE[ENDPOINT]).body["id"]
        self.ids["event_destinations"] = wire.send("POST", url_of(DESTINATION), BASE[DESTINATION]).body["id"]
        self.thin = wire.send("GET", "/v2/core/events").body["data"][0]["id"]
        self.ids["payouts"] = self.payout()

    def pay(self, params: Tree) -> str:
        """A new intent with these parameters."""
        return str(self.wire.send("POST", "/v1/payment_intents", BASE[CREATE] | params).body["id"])

    def paid(self, name: str) -> str:
        """A new charge, or the intent it belongs to, that can be refunded."""
        intent = self.pay(OPEN | {"confirm": True})
        if name == "payment_intent":
            return intent
        return str(self.wire.send("GET", f"/v1/payment_intents/{intent}").body["latest_charge"])

    def refund(self, card: str) -> str:
        """A new refund of one cent, to this card."""
        intent = self.pay(OPEN | {"confirm": True, "payment_method": card})
        return str(self.wire.send("POST", "/v1/refunds", {"payment_intent": intent, "amount": 1}).body["id"])

    def dispute(self) -> str:
        """A new dispute."""
        return str(self.control(f"charges/{self.paid('charge')}/dispute")["id"])

    def warning(self) -> str:
        """A new warning of fraud."""
        return str(self.control(f"charges/{self.paid('charge')}/fraud_warning")["id"])

    def fund(self) -> None:
        """Money that can be paid out."""
        self.control("balance_transactions", body={"type": "adjustment", "amount": 10**6, "currency": "usd"})

    def payout(self) -> str:
        """A new payout, and the day's before it, which the next list of balance transactions may name."""
        self.fund()
        self.automatic = str(self.control("payouts")["payouts"][0]["id"])
        self.fund()
        payout = self.wire.send("POST", "/v1/payouts", BASE["POST payouts"]).body
        self.bank = str(payout["destination"])
        return str(payout["id"])

    def new(self, endpoint: str) -> str:
        """A new object that this endpoint can change."""
        if endpoint.startswith("POST payouts"):
            return self.payout()
        if endpoint.startswith("POST disputes"):
            return self.dispute()
        if endpoint == "POST refunds/:id/cancel":
            return self.refund("pm_sandbox_refundAsks")
        if endpoint.startswith("POST refunds"):
            return self.refund("pm_card_visa")
        return self.pay(HELD if endpoint == CAPTURE else OPEN)

    def base(self, endpoint: str, params: Tree) -> Tree:
        """What the endpoint needs beside these parameters."""
        if endpoint == REFUND and not params.keys() & {"charge", "payment_intent"}:
            return {"payment_intent": self.paid("payment_intent")}
        return BASE.get(endpoint, {})

    def path(self, endpoint: str) -> str:
        """The path of an endpoint, about the paid intent or one that can still be confirmed or canceled."""
        method, _, shape = endpoint.partition(" ")
        kind = _kind(endpoint)
        object_id = self.thin if shape.startswith("v2/core/events") else self.ids.get(kind, "")
        if kind in ("webhook_endpoints", "event_destinations"):
            pass
        elif method == "POST" and ":id" in shape:
            object_id = self.open.get(endpoint) or self.open.setdefault(endpoint, self.new(endpoint))
        elif endpoint == "GET payment_intents/:id":
            object_id = self.intent
        return url_of(endpoint).replace(":id", object_id)


def url_of(endpoint: str) -> str:
    """`POST payment_intents` → `/v1/payment_intents`."""
    shape = endpoint.partition(" ")[2]
    return f"/{shape}" if shape.startswith("v2/") else f"/v1/{shape}"


@pytest.fixture(scope="module")
def objects(shared_sandbox: SandboxProcess) -> Iterator[Objects]:
    with Connection(shared_sandbox.base) as wire:
        wire.send("POST", "/v1/payment_intents", BASE[CREATE] | PAY)
        shared_sandbox.control("POST", "fees/flush")
        found = Objects(wire, shared_sandbox)
        yield found
        for kind in ("webhook_endpoints", "v2/core/event_destinations"):
            wire.send("DELETE", f"{url_of(f'DELETE {kind}')}/{found.ids[kind.rpartition('/')[2]]}")


# -- the sandbox's copy ---------------------------------------------------------------------------------------------


def test_the_copy_is_what_the_installed_sdk_documents() -> None:
    assert json.loads(ours.FILE.read_text()) == documented.everything(), "python -m tests.sandbox.documented"


def test_the_sandbox_and_the_service_speak_the_sdks_version() -> None:
    assert stripe.api_version == API_VERSION == STRIPE_VERSION == ours.STRIPE.version


def test_every_route_of_the_sandbox_has_its_types() -> None:
    assert set(documented.TYPES) == set(ROUTES)


def test_the_types_lack_what_the_pinned_version_took_away() -> None:
    assert "payment_method_types" not in documented.fields(documented.TYPES[CREATE])


# -- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ROUTES)
def test_every_documented_parameter_is_taken_or_a_limit(objects: Objects, endpoint: str) -> None:
    wrong, taken = [], 0
    for case in _cases(endpoint, documented.fields(documented.TYPES[endpoint]), objects):
        answer = _ask(objects, endpoint, case.params)
        taken += answer.status == 200
        if not answer.is_limit and answer.status != 200 and (endpoint, case.path) not in REFUSED_FOR_CARDS:
            wrong.append((case.path, answer.error))
    assert wrong == []
    assert taken > 0 or documented.fields(documented.TYPES[endpoint]).keys() <= {"expand"}


@pytest.mark.parametrize("endpoint", ROUTES)
def test_no_other_name_is_taken_at_any_depth(objects: Objects, endpoint: str) -> None:
    fields = documented.fields(documented.TYPES[endpoint])
    wrong = []
    for inside in ["", *hashes(fields)]:
        path = f"{inside}[{UNKNOWN}]" if inside else UNKNOWN
        answer = _ask(objects, endpoint, put({}, path, "red"))
        if (answer.status, answer.error.get("code"), answer.error.get("param")) != (400, "parameter_unknown", path):
            wrong.append((path, answer.error))
    assert wrong == []


@pytest.mark.parametrize("endpoint", ROUTES)
def test_no_other_word_is_taken_where_the_types_list_the_words(objects: Objects, endpoint: str) -> None:
    wrong = []
    fields = documented.fields(documented.TYPES[endpoint])
    cases = {case.path: case for case in _cases(endpoint, fields, objects) if kind_of(fields, case.path) == "word"}
    for case in cases.values():
        answer = _ask(objects, endpoint, put(json.loads(json.dumps(case.params)), case.path, "misspelt"))
        if (answer.status, answer.error.get("param")) != (400, case.path) or answer.is_limit:
            wrong.append((case.path, answer.error))
    assert wrong == []


@pytest.mark.parametrize("endpoint", [CREATE, CONFIRM])
def test_payment_method_types_is_refused_with_the_code_of_the_changelog(objects: Objects, endpoint: str) -> None:
    refused = _ask(objects, endpoint, {"payment_method_types": ["card"]})
    assert (refused.status, refused.error["code"]) == (400, "payment_method_types_no_longer_supported")
    assert refused.error["param"] == "payment_method_types"


# -- routes and expansions ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_route_of_stripe_is_there_or_a_limit(objects: Objects) -> None:
    here = {f"{endpoint.partition(' ')[0]} {url_of(endpoint)}" for endpoint in ROUTES}
    wrong = []
    for route in documented.routes():
        method, _, path = route.partition(" ")
        if route not in here:
            answer = objects.wire.send(method, path.replace(":id", "some_id"))
            if (answer.status, answer.is_limit) != (404, True):
                wrong.append((route, answer.error))
    assert wrong == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/payment_intent"),
        ("GET", "/v1/payment_intents/"),
        ("POST", "/v1/payment_intents/"),
        ("POST", "/v1/payment_intents//confirm"),
        ("POST", "/v1/payment_intents//cancel"),
        ("POST", "/v1/payment_intents/pi_1/confirm/"),
        ("POST", "/v1//payment_intents"),
        ("DELETE", "/v1/payment_intents/pi_1"),
        ("PUT", "/v1/payment_intents"),
        ("GET", "/v1/"),
        ("GET", "/v3/payment_intents"),
        ("GET", "/"),
    ],
)
def test_what_stripe_does_not_have_is_told_in_stripes_words(objects: Objects, method: str, path: str) -> None:
    charged = objects.wire.send("GET", "/v1/charges").body["data"][0]["id"]
    answer = objects.wire.send(method, path, BASE[CREATE] | PAY if method == "POST" else {})
    assert answer.status == 404
    assert answer.error["message"].startswith(f"Unrecognized request URL ({method}: {path}). If you are trying to")
    assert objects.wire.send("GET", "/v1/charges").body["data"][0]["id"] == charged


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        (endpoint, _kind(endpoint).replace("/", ".").removesuffix("s"))
        for endpoint, given in documented.TYPES.items()
        if "expand" in documented.fields(given)
    ],
)
def test_every_property_that_stripe_expands_is_expanded_or_a_limit(objects: Objects, endpoint: str, kind: str) -> None:
    inside = "data." if endpoint.startswith("GET") and endpoint.endswith("s") else ""
    wrong = []
    for name in documented.everything()["expandable"][kind]:
        answer = _ask(objects, endpoint, {"expand": [inside + name]})
        if answer.status != 200 and not answer.is_limit:
            wrong.append((name, answer.error))
    answer = _ask(objects, endpoint, {"expand": [inside + "amount"]})
    assert wrong == []
    assert (answer.status, answer.error.get("code")) == (400, None)
    assert answer.error["message"].startswith("This property cannot be expanded")


def test_five_levels_are_too_deep_and_data_is_one_of_them(objects: Objects) -> None:
    deep = "data.latest_charge.payment_intent.latest_charge"
    assert _ask(objects, "GET payment_intents", {"expand": [deep]}).status == 200
    for path in (f"{deep}.balance_transaction", "a.b.c.d.e"):
        answer = _ask(objects, "GET payment_intents", {"expand": [path]})
        assert answer.error["code"] == "property_expansion_max_depth"


# -- how ------------------------------------------------------------------------------------------------------------


def _ask(objects: Objects, endpoint: str, params: Tree) -> Answer:
    params = objects.base(endpoint, params) | params
    answer = objects.wire.send(endpoint.partition(" ")[0], objects.path(endpoint), params)
    if answer.status == 200:
        objects.open.pop(endpoint, None)
    if answer.status == 200 and endpoint in (ENDPOINT, DESTINATION):  # an account may have sixteen
        objects.wire.send("DELETE", f"{url_of(endpoint)}/{answer.body['id']}")
    return answer


def _cases(endpoint: str, fields: Tree, objects: Objects) -> Iterator[Case]:
    """One request per documented parameter and word, however deep."""
    kind = _kind(endpoint)
    cursors = dict.fromkeys(("starting_after", "ending_before"), objects.ids.get(kind))
    special: Tree = {
        "client_secret": objects.secret,
        "charge": objects.ids["charges"],
        "payout": objects.automatic,
        "destination": objects.bank,
        **cursors,
    }
    if "v2/" in endpoint:
        special |= {"created": {"gt": "2026-09-30T00:00:00Z"}, "enabled_events": ["*"], "type": "webhook_endpoint"}
    for name, parameter in fields.items():
        beside = BESIDE.get((endpoint, name), {})
        for path, value in values(name, parameter):
            if path != "expand[0]":  # expansions have a test of their own
                if endpoint == REFUND and name in ("charge", "payment_intent"):
                    special[name] = objects.paid(name)
                yield Case(path, beside | {name: special.get(name, value)})
