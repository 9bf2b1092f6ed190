"""A bug of ours in one request: its neighbours are paid, and its own key remembers the 500.

In the sandbox's own process, because only there can a bug be planted in the middle of one request.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox import destinations, documented, events, params, schedule, witness
from sandbox.api import Api
from sandbox.destinations import Destination
from sandbox.limits import Latency, RateLimit
from sandbox.request import request_of
from sandbox.state import Sandbox
from sandbox.store import Store
from sandbox.wire import Wire

GOOD = {
    "amount": "2000",
    "currency": "usd",
    "confirm": "true",
    "payment_method": "pm_card_visa",
    "automatic_payment_methods[enabled]": "true",
    "automatic_payment_methods[allow_redirects]": "never",
}
NEIGHBOURS = 40


class Answered:
    """An answer as its client sees it, and the ASGI way back that it comes on."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.headers: dict[bytes, bytes] = {}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    async def receive(self) -> dict[str, Any]:
        raise AssertionError("the request was read before")


@pytest.fixture
def api(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Api]:
    caplog.set_level(logging.CRITICAL, "sandbox")
    path = tmp_path / "books.sqlite3"
    sandbox = Sandbox(path, fee_delay_s=0, latency=Latency(), rate_limit=RateLimit())
    yield Api(sandbox)
    sandbox.store.close()


async def _send(api: Api, key: str, form: dict[str, str] | bytes = GOOD, path: str = "/v1/payment_intents") -> Answered:
    answered = Answered()
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    headers = [(b"authorization", b"Bearer sk_test_isolation"), (b"idempotency-key", key.encode())]
    scope: dict[str, object] = {"method": "POST" if body else "GET", "path": path, "query_string": b""}
    transport = {"extensions": {"sandbox.transport": {"transport": None}}}
    await api.serve(request_of(scope, headers, body), Wire(transport, answered.receive, answered.send))
    return answered


def _plant(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Explode in the request whose description is `explode`, at one of the places a request passes."""
    module, name = {
        "after its writes": (events, "record"),
        "between its writes": (witness, "took"),
        "in its parameters": (documented, "check"),
        "in its decoding": (params, "_with_lists"),
    }[place]
    real = getattr(module, name)
    seen: list[str] = []

    def explode(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        if "explode" in repr(arguments):
            seen.append(place)
            # The third event of a paid intent: its rows are written by then.
            if place != "after its writes" or "payment_intent.succeeded" in repr(arguments):
                raise RuntimeError(place)
        return result

    monkeypatch.setattr(module, name, explode)


PLACES = ["after its writes", "between its writes", "in its parameters", "in its decoding"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_bug_in_one_request_is_its_own_saved_500_and_its_neighbours_are_paid(
    api: Api, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bad = {**GOOD, "description[a]" if place == "in its decoding" else "description": "explode"}
    with monkeypatch.context() as planted:
        _plant(planted, place)
        half = NEIGHBOURS // 2
        answers = await asyncio.gather(
            *(_send(api, f"before-{n}") for n in range(half)),
            _send(api, "bad", bad),
            *(_send(api, f"after-{n}") for n in range(half)),
        )
        again = await _send(api, "bad", bad)
    first = answers[half]

    assert [answer.status for answer in answers].count(200) == NEIGHBOURS
    assert (first.status, again.status) == (500, 500)
    assert first.headers[b"stripe-should-retry"] == again.headers[b"stripe-should-retry"] == b"false"
    assert (again.body, again.headers[b"idempotent-replayed"]) == (first.body, b"true")
    assert _count(api, "movements") == _count(api, "payment_intents") == _count(api, "charges") == NEIGHBOURS


async def test_the_saved_500_outlives_the_bug(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = GOOD | {"description": "explode"}
    with monkeypatch.context() as planted:
        _plant(planted, "between its writes")
        await _send(api, "bad", bad)
    assert (await _send(api, "bad", bad)).status == 500
    assert (await _send(api, "another", bad)).status == 200
    assert _count(api, "movements") == 1


async def test_what_neighbours_were_told_is_in_the_books_after_a_bug(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _plant(monkeypatch, "after its writes")
    answers = await asyncio.gather(
        *(_send(api, f"k{n}") for n in range(5)), _send(api, "bad", GOOD | {"description": "explode"})
    )
    ids = [json.loads(answer.body)["id"] for answer in answers[:5]]
    stored = [row[0] for row in api.sandbox.store.snapshot("SELECT id FROM payment_intents ORDER BY seq")]
    keys = {row[0] for row in api.sandbox.store.snapshot("SELECT key FROM idempotency_keys")}
    assert stored == ids
    assert keys == {"k0", "k1", "k2", "k3", "k4", "bad"}


@pytest.mark.parametrize("depth", [31, 32, 33, 480, 500, 5000])
async def test_no_depth_of_brackets_is_more_than_a_bad_parameter(api: Api, depth: int) -> None:
    bad = urlencode(GOOD).encode() + b"&a" + b"[b]" * depth + b"=1"
    answers = await asyncio.gather(*(_send(api, f"k{n}") for n in range(NEIGHBOURS)), _send(api, "bad", bad))
    assert [answer.status for answer in answers] == [200] * NEIGHBOURS + [400]


@pytest.mark.parametrize("odd", [b"expand[" + b"9" * 5000 + b"]=x", b"metadata[" + b"[" * 900 + b"=1", b"=", b"[]=1"])
async def test_no_odd_name_is_a_500(api: Api, odd: bytes) -> None:
    assert (await _send(api, "odd", urlencode(GOOD).encode() + b"&" + odd)).status == 400


async def test_a_bug_in_what_happens_by_itself_touches_no_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(sandbox: Sandbox, *_: object) -> None:
        sandbox.store.set_meta("half", "written")
        raise RuntimeError("a task")

    monkeypatch.setitem(api.tasks, "fee", explode)
    answers = await asyncio.gather(*(_send(api, f"k{n}") for n in range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    assert (await _send(api, "", b"")).status == 200
    assert schedule.do_due(api.sandbox, api.tasks) == 0
    assert _count(api, "movements") == 3
    assert list(api.sandbox.store.snapshot("SELECT * FROM meta WHERE name = 'half'")) == []


async def test_a_commit_that_fails_is_told_to_everybody_in_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(Store, "commit", _fails)
        answers = await asyncio.gather(*(_send(api, f"k{n}") for n in range(3)))
    assert [answer.status for answer in answers] == [500] * 3
    assert {answer.headers[b"stripe-should-retry"] for answer in answers} == {b"true"}
    assert (await _send(api, "k0")).status == 200
    assert _count(api, "movements") == 1


def _fails(store: Store) -> None:
    store.write("INSERT INTO no_such_table VALUES (1)")


async def test_what_a_bug_undid_is_told_to_nobody(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = Destination(id="we_1", created=0, url="http://localhost/", payload="snapshot", types=["*"], view={})
    destinations.save(api.sandbox.store, hooks)
    with monkeypatch.context() as planted:
        _plant(planted, "after its writes")
        await asyncio.gather(
            _send(api, "one"), _send(api, "bad", {**GOOD, "description": "explode"}), _send(api, "two")
        )

    told = api.sandbox.store.rows("SELECT event FROM deliveries ORDER BY 1")
    assert told == api.sandbox.store.rows("SELECT id FROM events ORDER BY 1")
    assert len(told) == 2 * len(("payment_intent.created", "charge.succeeded", "payment_intent.succeeded"))


def _count(api: Api, table: str) -> int:
    (row,) = api.sandbox.store.snapshot(f"SELECT COUNT(*) FROM {table}")
    return int(row[0])
