"""Everything that is not exactly an order is refused, says why, stores nothing, and repeats nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.orders.identity import fingerprint
from service.orders.model import OrderRequest
from tests.cards import shows_the_card
from tests.web.conftest import ORDER, Api, assert_problem, count

CARD = "4242 4242 4242 4242"


def _json(**changes: Any) -> bytes:
    return json.dumps(ORDER | changes).encode()


def _with(name: str, literal: str) -> bytes:
    return json.dumps({k: v for k, v in ORDER.items() if k != name})[:-1].encode() + f', "{name}": {literal}}}'.encode()


REFUSED = {
    "amount 0": _json(amount=0),
    "amount -1": _json(amount=-1),
    "amount 1.5": _json(amount=1.5),
    "amount 1999.0": _with("amount", "1999.0"),
    "amount 1e3": _with("amount", "1e3"),
    "amount as text": _json(amount="1999"),
    "amount true": _json(amount=True),
    "amount null": _json(amount=None),
    "amount 10^30": _json(amount=10**30),
    "amount below the minimum": _json(amount=49),
    "amount above the maximum": _json(amount=100_000_000),
    "yen meant in cents": _json(amount=10_000_000_000, currency="jpy"),
    "dinar not ending in 0": _json(amount=5124, currency="kwd"),
    "krona with aurar": _json(amount=150, currency="isk"),
    "unknown currency": _json(currency="xxx"),
    "upper-case currency": _json(currency="USD"),
    "currency with a newline": _json(currency="usd\n"),
    "no amount": b'{"currency":"usd","payment_method":"pm_x"}',
    "no payment method": b'{"amount":1999,"currency":"usd"}',
    "payment method is no pm_": _json(payment_method="tok_visa"),
    "payment method with a newline": _json(payment_method="pm_x\n"),
    "customer is no cus_": _json(customer="17"),
    "customer null": _json(customer=None),
    "description null": _json(description=None),
    "description empty": _json(description=""),
    "description too long": _json(description="x" * 1001),
    "metadata null": _json(metadata=None),
    "metadata a list": _json(metadata=[]),
    "metadata nested": _json(metadata={"a": {"b": "c"}}),
    "metadata number": _json(metadata={"a": 1}),
    "48 metadata names": _json(metadata={f"k{i}": "v" for i in range(48)}),
    "45 metadata names under a new key": _json(metadata={f"k{i}": "v" for i in range(45)}),
    "metadata name too long": _json(metadata={"x" * 41: "v"}),
    "metadata name empty": _json(metadata={"": "v"}),
    "metadata name with brackets": _json(metadata={"a[b]": "v"}),
    "metadata name of ours": _json(metadata={"eo_order": "v"}),
    "metadata value too long": _json(metadata={"k": "v" * 501}),
    "unknown field": _json(capture=True),
    "unknown field in other case": _json(Amount=1),
    "repeated name": b'{"amount":1,"amount":1999,"currency":"usd","payment_method":"pm_x"}',
    "repeated name, escaped": b'{"amount":1999,"currency":"usd","payment_method":"pm_x","\\u0061mount":1999}',
    "repeated name in metadata": _with("metadata", '{"a":"1","a":"1"}'),
    "nul in description": _json(description="a\x00b"),
    "nul in metadata name": _json(metadata={"a\x00": "b"}),
    "lone surrogate": _with("description", '"\\ud800"'),
    "lone low surrogate": _with("description", '"\\udc00"'),
    "invalid utf-8": _with("description", '"x"').replace(b'"x"', b'"\xff"'),
    "utf-16": json.dumps(ORDER).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + _json(),
    "nothing": b"",
    "half an object": b'{"amount":',
    "two objects": _json() + _json(),
    "a comment": _json() + b" // x",
    "single quotes": b"{'amount': 1}",
    "NaN": _with("amount", "NaN"),
    "a list": b"[]",
    "a number": b"17",
    "null": b"null",
    "form data": b"amount=1999&currency=usd",
    "deep nesting": b"[" * 30_000,
    "card number in description": _json(description=f"card {CARD} exp 12/30"),
    "card number in a metadata name": _json(metadata={CARD: "x"}),
    "card number in a metadata value": _json(metadata={"x": CARD.replace(" ", "-")}),
    "card number in customer": _json(customer="cus_4242424242424242"),
    "card number as payment method": _json(payment_method="4242424242424242"),
    "card number as a field": _json(**{CARD: 1}),
}


async def test_a_bad_body_is_400_and_stores_nothing(api: Api, engine: AsyncEngine, subtests: pytest.Subtests) -> None:
    for name, body in REFUSED.items():
        with subtests.test(name):
            answer = await api.raw(body)
            assert_problem(answer, 400)
            assert not shows_the_card(answer.text)
            assert await count(engine, "orders") == await count(engine, "outbox") == 0


async def test_a_bad_key_is_400(api: Api, engine: AsyncEngine, subtests: pytest.Subtests) -> None:
    for key in ("", "é".encode().decode("latin-1"), "a b", "x" * 201, 'a"b', '"a";x=1', "eo1:x", "a\tb"):
        with subtests.test(key=key):
            headers = [(b"Idempotency-Key", key.encode("latin-1"))]
            assert_problem(await api.http.post("/v1/orders", json=ORDER, headers=headers), 400)
            assert await count(engine, "orders") == 0


async def test_a_missing_or_repeated_key_is_400(api: Api) -> None:
    assert_problem(await api.http.post("/v1/orders", json=ORDER), 400, "idempotency-key-missing")
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert_problem(await api.http.post("/v1/orders", json=ORDER, headers=twice), 400, "idempotency-key-malformed")


async def test_a_card_number_as_key_is_refused_and_not_repeated(api: Api) -> None:
    answer = await api.order("order-4242424242424242")
    assert_problem(answer, 400, "card-data-rejected")
    assert not shows_the_card(answer.text)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json"]
)
async def test_another_content_type_is_415(api: Api, content_type: str) -> None:
    assert_problem(await api.raw(_json(), **{"Content-Type": content_type}), 415, "unsupported-media-type")


@pytest.mark.parametrize("sent", [b"gzip", b"br", b"identity, gzip", b""])
async def test_a_body_that_is_said_to_be_compressed_is_415_and_identity_is_none(api: Api, sent: bytes) -> None:
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": b"k", b"Content-Encoding": sent}
    answer = await api.http.post("/v1/orders", content=_json(), headers=list(headers.items()))
    assert_problem(answer, 415, "unsupported-media-type")
    assert "Content-Encoding" in answer.json()["detail"]
    assert (await api.raw(_json(), **{"Content-Encoding": "Identity"})).status_code == 201


async def test_a_charset_of_utf_8_may_be_named(api: Api) -> None:
    assert (await api.raw(_json(), **{"Content-Type": "Application/JSON; charset=UTF-8"})).status_code == 201
    assert_problem(await api.raw(_json(), **{"Content-Type": "application/json; charset=latin-1"}), 415)


async def test_a_body_over_64_kib_is_413(api: Api) -> None:
    assert_problem(await api.raw(_json(description="x" * 65 * 1024)), 413, "content-too-large")


async def test_a_chunked_body_over_64_kib_is_413(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    answer = await api.http.post(
        "/v1/orders", content=chunks(), headers={"Content-Type": "application/json", "Idempotency-Key": "k"}
    )
    assert_problem(answer, 413, "content-too-large")


async def test_a_batch_body_over_2_mib_is_413(api: Api) -> None:
    answer = await api.http.post(
        "/v1/orders/batch", content=b" " * (2 * 1024 * 1024 + 1), headers={"Content-Type": "application/json"}
    )
    assert_problem(answer, 413, "content-too-large")


async def test_what_is_just_within_the_limits_is_accepted(api: Api) -> None:
    metadata = {f"{i:02}" + "x" * 38: "v" * 500 for i in range(44)}
    answer = await api.order("x" * 200, description="d" * 1000, metadata=metadata, customer="cus_1")
    assert answer.status_code == 201, answer.text
    assert answer.json()["metadata"] == metadata


async def test_an_order_of_before_with_47_metadata_names_is_still_repeated(api: Api, engine: AsyncEngine) -> None:
    metadata = {f"k{i}": "v" for i in range(47)}
    before = OrderRequest(amount=1999, currency="usd", payment_method="pm_card_visa", metadata=metadata)
    placed = await api.order("of-before")
    async with engine.begin() as connection:
        change = text("UPDATE orders SET metadata = CAST(:metadata AS jsonb), fingerprint = :fingerprint")
        await connection.execute(change, {"metadata": json.dumps(metadata), "fingerprint": fingerprint(before)})
    again = await api.order("of-before", metadata=metadata)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json()["id"] == placed.json()["id"]
    other = await api.order("of-before", metadata=dict(list(metadata.items())[:46]))
    assert other.status_code == 422


async def test_nothing_sent_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="eo")
    await api.order("secret-key", description="secret-description")
    await api.order("secret-key", description=f"secret {CARD}")
    await api.raw(b'{"secret":')
    assert "secret" not in caplog.text
    assert not shows_the_card(caplog.text)
