"""What a request may say: stored and shown where Stripe shows it, refused where Stripe refuses it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.sandbox.client import NO_REDIRECTS, new_key
from tests.sandbox.process import SandboxProcess
from tests.sandbox.wire import Answer, Connection

Tree = dict[str, Any]
INTENTS = "/v1/payment_intents"
BARE: Tree = {"amount": 2000, "currency": "usd"}
OPEN: Tree = BARE | {"payment_method": "pm_card_visa", "automatic_payment_methods": NO_REDIRECTS}
PAID: Tree = OPEN | {"confirm": True}
ADDRESS = {"city": None, "country": "DE", "line1": "Way 1", "line2": None, "postal_code": "10115", "state": None}
SHIPPING = {"address": ADDRESS, "carrier": None, "name": "Ada", "phone": None, "tracking_number": None}
ASKED = {"address": {"country": "DE", "line1": "Way 1", "postal_code": "10115"}, "name": "Ada"}
SHIPPED = {"amount": 3, "from_postal_code": None, "to_postal_code": None}
# What create and confirm take, and what the PaymentIntent shows of it.
SHOWN: list[tuple[Tree, Tree]] = [
    ({"receipt_email": "ada@shop.example"}, {"receipt_email": "ada@shop.example"}),
    ({"setup_future_usage": "off_session"}, {"setup_future_usage": "off_session"}),
    ({"capture_method": "automatic"}, {"capture_method": "automatic"}),
    ({"shipping": ASKED}, {"shipping": SHIPPING}),
    ({"excluded_payment_method_types": ["klarna"]}, {"excluded_payment_method_types": ["klarna"]}),
    (
        {"payment_details": {"order_reference": "o-1"}},
        {"payment_details": {"customer_reference": None, "order_reference": "o-1"}},
    ),
    (
        {"amount_details": {"discount_amount": 5, "tax": {"total_tax_amount": 7}, "shipping": {"amount": 3}}},
        {"amount_details": {"discount_amount": 5, "tax": {"total_tax_amount": 7}, "shipping": SHIPPED}},
    ),
    (
        {"payment_method_options": {"card": {"request_three_d_secure": "any", "require_cvc_recollection": False}}},
        {"payment_method_options": {"card": {"request_three_d_secure": "any", "require_cvc_recollection": False}}},
    ),
]
REFUSED: list[tuple[Tree, str | None, str]] = [
    ({"customer": "foo"}, "resource_missing", "customer"),
    ({"receipt_email": "notanemail"}, "email_invalid", "receipt_email"),
    ({"statement_descriptor": "SHOP"}, None, "statement_descriptor"),
    ({"return_url": "nowhere"}, "url_invalid", "return_url"),
    (
        {"automatic_payment_methods": {"allow_redirects": "never"}},
        "parameter_missing",
        "automatic_payment_methods[enabled]",
    ),
    ({"confirmation_method": "manual"}, None, "automatic_payment_methods"),
    ({"allowed_payment_method_types": ["card"]}, None, "allowed_payment_method_types"),
    ({"metadata": {"a[b]": "c"}}, None, "metadata"),
    ({"metadata": {"a": {"b": "c"}}}, None, "metadata[a]"),
    ({"capture_method": "bogus"}, None, "capture_method"),
    ({"setup_future_usage": "bogus"}, None, "setup_future_usage"),
    ({"off_session": "maybe"}, None, "off_session"),
    ({"shipping": {"name": "Ada"}}, "parameter_missing", "shipping[address]"),
    ({"amount": [1]}, None, "amount"),
    ({"description": ""}, "parameter_invalid_empty", "description"),
]


@pytest.fixture
def wire(sandbox: SandboxProcess) -> Iterator[Connection]:
    with Connection(sandbox.base) as wire:
        yield wire


# -- stored and shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "shown"), SHOWN)
def test_what_a_create_says_is_shown(wire: Connection, given: Tree, shown: Tree) -> None:
    _holds(wire.send("POST", INTENTS, OPEN | given).body, shown)


@pytest.mark.parametrize(("given", "shown"), SHOWN)
def test_what_a_confirm_says_is_applied_and_stays(wire: Connection, given: Tree, shown: Tree) -> None:
    intent = wire.send("POST", INTENTS, OPEN).body["id"]
    confirmed = wire.send("POST", f"{INTENTS}/{intent}/confirm", given)
    assert (confirmed.status, confirmed.body["status"]) == (200, "succeeded")
    _holds(confirmed.body, shown)
    _holds(wire.send("GET", f"{INTENTS}/{intent}").body, shown)


def test_a_confirm_takes_back_what_a_create_said(wire: Connection) -> None:
    said = {
        name: value for given, _ in SHOWN for name, value in given.items() if name != "excluded_payment_method_types"
    }
    fresh = wire.send("POST", INTENTS, OPEN).body
    intent = wire.send("POST", INTENTS, OPEN | said).body["id"]
    unset: Tree = dict.fromkeys(
        ("receipt_email", "setup_future_usage", "shipping", "payment_details", "amount_details"), ""
    )
    options = {"card": {"request_three_d_secure": "automatic"}}
    taken = wire.send("POST", f"{INTENTS}/{intent}/confirm", unset | {"payment_method_options": options}).body
    assert {name: taken.get(name) for name in unset} == {name: fresh.get(name) for name in unset}
    assert taken["payment_method_options"]["card"]["request_three_d_secure"] == "automatic"


def test_the_charge_shows_what_the_confirm_said(wire: Connection) -> None:
    intent = wire.send("POST", INTENTS, OPEN | {"receipt_email": "old@shop.example"}).body["id"]
    said = {"receipt_email": "ada@shop.example", "shipping": ASKED, "expand": ["latest_charge"]}
    charge = wire.send("POST", f"{INTENTS}/{intent}/confirm", said).body["latest_charge"]
    assert (charge["receipt_email"], charge["shipping"]) == ("ada@shop.example", SHIPPING)


def test_a_list_of_allowed_types_stands_for_automatic_payment_methods(wire: Connection) -> None:
    given = BARE | {"payment_method": "pm_card_visa", "confirm": True, "allowed_payment_method_types": ["card", "link"]}
    paid = wire.send("POST", INTENTS, given).body
    assert (paid["status"], paid["allowed_payment_method_types"]) == ("succeeded", ["card", "link"])
    assert paid["payment_method_types"] == ["card"]


@pytest.mark.parametrize("word", ["true", "one_off", "recurring"])
def test_every_word_for_off_session_declines_what_needs_the_owner(wire: Connection, word: str) -> None:
    given = PAID | {"payment_method": "pm_card_authenticationRequired", "off_session": word}
    assert wire.send("POST", INTENTS, given).error["code"] == "authentication_required"


def test_use_stripe_sdk_decides_how_the_owner_is_asked(wire: Connection) -> None:
    given = PAID | {"payment_method": "pm_card_authenticationRequired", "return_url": "https://shop.example/"}
    redirected = wire.send("POST", INTENTS, given).body
    by_sdk = wire.send("POST", INTENTS, given | {"use_stripe_sdk": True}).body
    assert [one["next_action"]["type"] for one in (redirected, by_sdk)] == ["redirect_to_url", "use_stripe_sdk"]


def test_a_stored_payment_method_keeps_its_id(wire: Connection) -> None:
    first = wire.send("POST", INTENTS, PAID).body["payment_method"]
    assert wire.send("POST", INTENTS, PAID | {"payment_method": first}).body["payment_method"] == first


# -- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "code", "param"), REFUSED)
def test_what_stripe_refuses_is_refused_and_charges_nothing(
    sandbox: SandboxProcess, wire: Connection, given: Tree, code: str | None, param: str
) -> None:
    order = new_key()
    metadata = {"eo_order": order} | given.get("metadata", {})
    refused = wire.send("POST", INTENTS, PAID | given | {"metadata": metadata})
    assert (refused.status, refused.error.get("code"), refused.error["param"]) == (400, code, param)
    assert not refused.is_limit
    assert sandbox.truth(order)["charges"] == 0


@pytest.mark.parametrize("name", ["return_url", "error_on_requires_action", "off_session"])
def test_what_only_a_confirm_may_say_is_refused_without_one(wire: Connection, name: str) -> None:
    value = "https://shop.example/" if name == "return_url" else True
    refused = wire.send("POST", INTENTS, OPEN | {name: value})
    assert (refused.status, refused.error["param"]) == (400, name)
    assert "`confirm=true`" in refused.error["message"]


@pytest.mark.parametrize("name", ["capture_method", "setup_future_usage"])
def test_a_confirm_checks_its_words_and_charges_nothing(wire: Connection, name: str) -> None:
    intent = wire.send("POST", INTENTS, OPEN).body["id"]
    assert wire.send("POST", f"{INTENTS}/{intent}/confirm", {name: "bogus"}).error["param"] == name
    assert wire.send("GET", f"{INTENTS}/{intent}").body["status"] == "requires_confirmation"


def test_a_confirm_needs_the_return_url_that_a_create_would_have_needed(wire: Connection) -> None:
    intent = wire.send("POST", INTENTS, BARE | {"payment_method": "pm_card_visa"}).body["id"]
    refused = wire.send("POST", f"{INTENTS}/{intent}/confirm")
    assert (refused.status, refused.error["param"]) == (400, "return_url")
    paid = wire.send("POST", f"{INTENTS}/{intent}/confirm", {"return_url": "https://shop.example/"})
    assert paid.body["status"] == "succeeded"


def test_only_the_whole_amount_can_be_confirmed(wire: Connection) -> None:
    intent = wire.send("POST", INTENTS, OPEN).body["id"]
    assert wire.send("POST", f"{INTENTS}/{intent}/confirm", {"amount_to_confirm": 1999}).is_limit
    assert wire.send("POST", f"{INTENTS}/{intent}/confirm", {"amount_to_confirm": 2000}).status == 200


@pytest.mark.parametrize(
    "given", [{"allowed_payment_method_types": ["sepa_debit"]}, {"excluded_payment_method_types": ["card"]}]
)
def test_leaving_cards_out_is_a_limit_of_the_sandbox(wire: Connection, given: Tree) -> None:
    assert wire.send("POST", INTENTS, BARE | given).is_limit


def test_events_are_asked_for_by_type_or_by_at_most_twenty_types(wire: Connection) -> None:
    many = [f"charge.kind_{n}" for n in range(21)]
    assert wire.send("GET", "/v1/events", {"types": many}).error["param"] == "types"
    assert wire.send("GET", "/v1/events", {"types": many[:20]}).status == 200
    both = wire.send("GET", "/v1/events", {"types": many[:1], "type": "charge.*"})
    assert both.error["message"] == "You may only specify one of these parameters: type, types."


# -- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["nonsense", "2026-13-45", "2026-10-28.endive2", "0"])
def test_a_version_that_is_none_is_refused_in_stripes_words(wire: Connection, version: str) -> None:
    refused = wire.send("POST", INTENTS, PAID, Stripe_Version=version)
    assert (refused.status, refused.error["message"]) == (400, f"Invalid Stripe API version: {version}")
    assert refused.headers["stripe-version"] == "2026-10-28.endive"


@pytest.mark.parametrize("version", ["2020-08-27", "2025-03-31.basil", "2026-09-30.preview"])
def test_another_version_of_stripe_is_a_limit_of_the_sandbox(wire: Connection, version: str) -> None:
    assert wire.send("POST", INTENTS, PAID, Stripe_Version=version).is_limit


def test_another_account_is_a_limit_and_uses_no_key(wire: Connection) -> None:
    key = new_key()
    assert wire.send("POST", INTENTS, PAID, Stripe_Account="acct_nobody", Idempotency_Key=key).is_limit
    own = wire.send("GET", "/v1/account").body["id"]
    paid = wire.send("POST", INTENTS, PAID, Stripe_Account=own, Idempotency_Key=key)
    assert (paid.status, paid.headers.get("idempotent-replayed")) == (200, None)


def test_a_rate_limit_says_which_one_it_is(sandbox: SandboxProcess, wire: Connection) -> None:
    sandbox.control("POST", "rate_limit", {"rps": 1})
    limited = [wire.send("GET", "/v1/balance") for _ in range(3)][-1]
    assert (limited.status, limited.headers["stripe-rate-limited-reason"]) == (429, "endpoint-rate")


def test_an_object_in_use_is_locked_and_a_repeat_is_welcome(sandbox: SandboxProcess, wire: Connection) -> None:
    path = f"{INTENTS}/{wire.send('POST', INTENTS, OPEN).body['id']}/confirm"
    sandbox.control("POST", "latency", {"p50_ms": 600})
    together = threading.Barrier(3)

    def confirm(_: int) -> Answer:
        with Connection(sandbox.base) as own:
            together.wait(10)
            return own.send("POST", path)

    with ThreadPoolExecutor(3) as pool:
        answers = sorted(pool.map(confirm, range(3)), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 429, 429]
    assert {answer.error["code"] for answer in answers[1:]} == {"lock_timeout"}
    assert {answer.headers["stripe-should-retry"] for answer in answers[1:]} == {"true"}
    assert wire.send("POST", path).status == 400


# -- age ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["payment_intents", "charges", "balance_transactions", "events"])
def test_everything_ages_together_and_lists_by_created_follow(own_sandbox: SandboxProcess, kind: str) -> None:
    with Connection(own_sandbox.base) as wire:
        _some_of_everything(own_sandbox, wire)
        before = wire.send("GET", f"/v1/{kind}", {"limit": 100}).body["data"]
        born = wire.send("GET", "/v1/account").body["created"]
        own_sandbox.control("POST", "age", {"seconds": 90_000})
        _some_of_everything(own_sandbox, wire)
        after = wire.send("GET", f"/v1/{kind}", {"limit": 100}).body["data"]
        old, new = after[-len(before) :], after[: -len(before)]
        edge = before[0]["created"] - 90_000

        assert old == [_older(one, 90_000) for one in before]
        assert len(new) == len(before)
        assert wire.send("GET", f"/v1/{kind}", {"created": {"lte": edge}, "limit": 100}).body["data"] == old
        assert wire.send("GET", f"/v1/{kind}", {"created": {"gt": edge}}).body["data"] == new[:10]
        assert wire.send("GET", f"/v1/{kind}", {"starting_after": new[-1]["id"], "limit": 100}).body["data"] == old
        assert wire.send("GET", f"/v1/{kind}/{old[0]['id']}").body == old[0]
        assert wire.send("GET", "/v1/account").body["created"] == born - 90_000


def _some_of_everything(sandbox: SandboxProcess, wire: Connection) -> None:
    wire.send("POST", INTENTS, PAID)
    wire.send("POST", INTENTS, PAID | {"payment_method": "pm_card_visa_chargeDeclined"})
    canceled = wire.send("POST", INTENTS, OPEN).body["id"]
    wire.send("POST", f"{INTENTS}/{canceled}/cancel")
    sandbox.control("POST", "fees/flush")


def _older(value: Any, seconds: int) -> Any:
    """The object with every stamp moved back, and what that makes of a pending balance transaction."""
    if isinstance(value, list):
        return [_older(item, seconds) for item in value]
    if not isinstance(value, dict):
        return value
    stamps = ("created", "canceled_at", "available_on")
    return {
        name: inner - seconds if name in stamps and inner is not None else _older(inner, seconds)
        for name, inner in value.items()
    }


def _holds(shown: Tree, expected: Tree) -> None:
    """Everything expected is shown; beside it may be more."""
    for name, value in expected.items():
        if isinstance(value, dict):
            _holds(shown[name], value)
        else:
            assert shown[name] == value, name
