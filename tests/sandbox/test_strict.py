"""Each rule that rests on memory or a quote: off by default, and what it does once it is on."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.__main__ import main
from sandbox.strict import RULES
from sandbox.undone import EXPANSIONS, PARAMETERS, VALUES
from tests.sandbox.client import NO_REDIRECTS, new_key
from tests.sandbox.process import SandboxProcess
from tests.sandbox.wire import Answer, Connection

Tree = dict[str, Any]
INTENTS = "/v1/payment_intents"
OPEN: Tree = {
    "amount": 2000,
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "automatic_payment_methods": NO_REDIRECTS,
}
PAID: Tree = OPEN | {"confirm": True}
SETUP_CARD = "pm_card_authenticationRequiredOnSetup"
PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


@pytest.fixture
def wire(sandbox: SandboxProcess) -> Iterator[Connection]:
    with Connection(sandbox.base) as wire:
        yield wire


def _on(sandbox: SandboxProcess, *rules: str) -> None:
    sandbox.control("POST", "strict", {"rules": rules})


# -- payment methods and authentication -----------------------------------------------------------------------------


def test_payment_method_reuse(sandbox: SandboxProcess, wire: Connection) -> None:
    used = wire.send("POST", INTENTS, PAID).body["payment_method"]
    new = wire.send("POST", INTENTS, OPEN).body["payment_method"]
    saved = {"customer": "cus_1", "setup_future_usage": "off_session"}
    kept = wire.send("POST", INTENTS, PAID | saved).body["payment_method"]
    assert wire.send("POST", INTENTS, PAID | {"payment_method": used}).status == 200

    _on(sandbox, "payment_method_reuse")
    refused = wire.send("POST", INTENTS, PAID | {"payment_method": used})
    assert refused.status == 400
    assert refused.error["message"].startswith("The provided PaymentMethod was previously used with a PaymentIntent")
    assert wire.send("POST", INTENTS, PAID | {"payment_method": kept, "customer": "cus_2"}).status == 400
    assert wire.send("POST", INTENTS, PAID | {"payment_method": kept}).status == 400
    assert wire.send("POST", INTENTS, PAID | {"payment_method": kept, "customer": "cus_1"}).status == 200
    assert wire.send("POST", INTENTS, PAID | {"payment_method": new}).status == 200


def test_off_session_needs_setup(sandbox: SandboxProcess, wire: Connection) -> None:
    off: Tree = PAID | {"payment_method": SETUP_CARD, "off_session": True}
    assert wire.send("POST", INTENTS, off).status == 200

    _on(sandbox, "off_session_needs_setup")
    assert wire.send("POST", INTENTS, off).error["code"] == "authentication_required"
    there = wire.send("POST", INTENTS, PAID | {"payment_method": SETUP_CARD, "setup_future_usage": "off_session"}).body
    sandbox.control("POST", f"payment_intents/{there['id']}/complete_action", {"succeed": True})
    assert wire.send("POST", INTENTS, off | {"payment_method": there["payment_method"]}).status == 200
    assert wire.send("POST", INTENTS, off | {"payment_method": "pm_card_visa"}).status == 200


def test_manual_confirmation(sandbox: SandboxProcess, wire: Connection) -> None:
    asked: Tree = {
        "amount": 2000,
        "currency": "usd",
        "payment_method": "pm_card_authenticationRequired",
        "confirmation_method": "manual",
        "confirm": True,
        "return_url": "https://shop.example/",
        "metadata": {"eo_order": new_key()},
    }
    assert _completed(sandbox, wire, asked) == "succeeded"

    _on(sandbox, "manual_confirmation")
    asked["metadata"] = {"eo_order": new_key()}
    assert _completed(sandbox, wire, asked) == "requires_confirmation"
    assert sandbox.truth(asked["metadata"]["eo_order"])["charges"] == 0
    intent = wire.send("GET", INTENTS, {"limit": 1}).body["data"][0]["id"]
    paid = wire.send("POST", f"{INTENTS}/{intent}/confirm", {"return_url": "https://shop.example/"})
    assert paid.body["status"] == "succeeded"
    assert sandbox.truth(asked["metadata"]["eo_order"])["charges"] == 1


def test_allowed_types_need_return_url(sandbox: SandboxProcess, wire: Connection) -> None:
    given = {name: value for name, value in PAID.items() if name != "automatic_payment_methods"}
    given["allowed_payment_method_types"] = ["card"]
    assert wire.send("POST", INTENTS, given).status == 200

    _on(sandbox, "allowed_types_need_return_url")
    assert wire.send("POST", INTENTS, given).error["param"] == "return_url"


@pytest.mark.parametrize(("currency", "small", "enough"), [("vnd", 50, 12_500), ("krw", 50, 680), ("zar", 50, 900)])
def test_converted_minimum(sandbox: SandboxProcess, wire: Connection, currency: str, small: int, enough: int) -> None:
    assert wire.send("POST", INTENTS, PAID | {"currency": currency, "amount": small}).status == 200

    _on(sandbox, "converted_minimum")
    assert (
        wire.send("POST", INTENTS, PAID | {"currency": currency, "amount": small}).error["code"] == "amount_too_small"
    )
    assert wire.send("POST", INTENTS, PAID | {"currency": currency, "amount": enough}).status == 200
    assert wire.send("POST", INTENTS, PAID | {"currency": "usd", "amount": 50}).status == 200


# -- keys -----------------------------------------------------------------------------------------------------------


def test_restricted_keys(sandbox: SandboxProcess) -> None:
    with Connection(sandbox.base, "rk_test_0123456789abcdef") as wire:
        assert wire.send("POST", INTENTS, PAID).status == 401
        _on(sandbox, "restricted_keys")
        assert wire.send("POST", INTENTS, PAID).status == 200


def test_publishable_keys(sandbox: SandboxProcess, wire: Connection) -> None:
    intent = wire.send("POST", INTENTS, OPEN).body
    path, secret = f"{INTENTS}/{intent['id']}", {"client_secret": intent["client_secret"]}
    with Connection(sandbox.base, "pk_test_0123456789abcdef") as client:
        assert client.send("GET", path, secret).status == 401
        _on(sandbox, "publishable_keys")
        assert client.send("POST", INTENTS, PAID).status == 401
        assert client.send("GET", path).status == 401
        assert client.send("POST", f"{path}/confirm", {"client_secret": "another"}).status == 401
        assert client.send("GET", path, secret).body["id"] == intent["id"]
        assert client.send("POST", f"{path}/confirm", secret).body["status"] == "succeeded"


def test_a_secret_key_may_name_the_client_secret_but_only_the_right_one(wire: Connection) -> None:
    intent = wire.send("POST", INTENTS, OPEN).body
    path = f"{INTENTS}/{intent['id']}"
    assert wire.send("GET", path, {"client_secret": intent["client_secret"]}).status == 200
    assert wire.send("GET", path, {"client_secret": "another"}).status == 404
    assert wire.send("POST", f"{path}/confirm", {"client_secret": intent["client_secret"]}).status == 400


# -- idempotency ----------------------------------------------------------------------------------------------------


def test_empty_key(sandbox: SandboxProcess, wire: Connection) -> None:
    assert wire.send("POST", INTENTS, PAID, Idempotency_Key="").status == 200
    _on(sandbox, "empty_key")
    assert wire.send("POST", INTENTS, PAID, Idempotency_Key="").status == 400
    assert wire.send("POST", INTENTS, PAID).status == 200


@pytest.mark.parametrize("on", [False, True])
def test_in_flight_compares(sandbox: SandboxProcess, wire: Connection, *, on: bool) -> None:
    _on(sandbox, *(["in_flight_compares"] if on else []))
    sandbox.control("POST", "latency", {"p50_ms": 600})
    key, together = new_key(), threading.Barrier(2)

    def create(amount: int) -> Answer:
        with Connection(sandbox.base) as own:
            together.wait(10)
            return own.send("POST", INTENTS, OPEN | {"amount": amount}, Idempotency_Key=key)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(create, (2000, 3000)), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 400 if on else 409]
    assert answers[1].error["type"] == "idempotency_error"


@pytest.mark.parametrize("on", [False, True])
def test_missing_object_saved(sandbox: SandboxProcess, wire: Connection, *, on: bool) -> None:
    _on(sandbox, *(["missing_object_saved"] if on else []))
    key = new_key()
    answers = [wire.send("POST", f"{INTENTS}/pi_nobody/confirm", Idempotency_Key=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [404, 404]
    assert answers[1].headers.get("idempotent-replayed") == ("true" if on else None)


# -- switching, and the page ----------------------------------------------------------------------------------------


def test_every_rule_is_off_by_default_and_has_a_test(sandbox: SandboxProcess) -> None:
    assert sandbox.control("GET", "strict")["rules"] == dict.fromkeys(RULES, False)
    assert {f"test_{rule}" for rule in RULES} <= globals().keys()


def test_rules_are_switched_at_the_start_too(tmp_path: Path) -> None:
    process = SandboxProcess(tmp_path / "books.sqlite3", "--strict", "empty_key,restricted_keys")
    try:
        rules = process.start().control("GET", "strict")["rules"]
    finally:
        process.kill()
    assert {name for name, on in rules.items() if on} == {"empty_key", "restricted_keys"}


def test_all_means_all(sandbox: SandboxProcess) -> None:
    _on(sandbox, "all")
    assert all(sandbox.control("GET", "strict")["rules"].values())


def test_a_rule_that_is_none_is_refused(sandbox: SandboxProcess, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="400"):
        _on(sandbox, "no_such_rule")
    with pytest.raises(SystemExit):
        main(["--strict", "no_such_rule"])
    assert "no_such_rule" in capsys.readouterr().err


def test_the_page_lists_every_rule() -> None:
    section = PAGE.read_text().partition("\n## Off by default\n")[2].partition("\n## ")[0]
    told = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert told == list(RULES)


def test_the_page_lists_everything_that_is_not_done() -> None:
    section = PAGE.read_text().partition("\n## What the sandbox does not do yet\n")[2].partition("\n## ")[0]
    undone = {name for names in (*PARAMETERS.values(), *VALUES.values()) for name in names}
    undone |= {name for names in EXPANSIONS.values() for name in names}
    assert [name for name in sorted(undone) if f"`{name}`" not in section] == []


def _completed(sandbox: SandboxProcess, wire: Connection, asked: Tree) -> str:
    waiting = wire.send("POST", INTENTS, asked).body
    assert waiting["status"] == "requires_action"
    sandbox.control("POST", f"payment_intents/{waiting['id']}/complete_action", {"succeed": True})
    return str(wire.send("GET", f"{INTENTS}/{waiting['id']}").body["status"])
