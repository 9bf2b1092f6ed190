"""Each item of a batch is judged by its own bytes: a bad one is a 400 of its own and fails no neighbour."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import BadRequest
from service.web.batch import BATCH_BODY_MAX, items, read_item, split
from tests.web.conftest import ORDER, Api, assert_problem, count


def _item(key: str, **changes: Any) -> bytes:
    return json.dumps({**ORDER, "idempotency_key": key, **changes}).encode()


def _with(name: str, raw: bytes) -> bytes:
    """An item whose field `name` is exactly these bytes."""
    return _item("bad", **{name: "HERE"}).replace(b'"HERE"', raw)


BAD = {
    "an integer of 5,000 digits": _with("amount", b"9" * 5_000),
    "an integer of 5,000 digits where text belongs": _with("description", b"9" * 5_000),
    "an unknown integer of 5,000 digits": _with("x", b"9" * 5_000),
    "a negative integer of 5,000 digits": _with("amount", b"-" + b"9" * 5_000),
    "a huge exponent": _with("amount", b"1e400"),
    "an exponent of 5,000 digits": _with("amount", b"1e" + b"9" * 5_000),
    "a fraction of 5,000 digits": _with("amount", b"1." + b"0" * 5_000),
    "lists, 1,000 deep": _with("metadata", b"[" * 1_000 + b"]" * 1_000),
    "lists, 100,000 deep": _with("metadata", b"[" * 100_000 + b"]" * 100_000),
    "objects, 100,000 deep": _with("metadata", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "an item that is lists, 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "an unknown field, 100,000 deep": _with("x", b"[" * 100_000 + b"]" * 100_000),
    "a byte that is no UTF-8": _with("description", b'"\xff"'),
    "that byte outside any string": _with("amount", b"\xff"),
    "that byte in a name": _item("bad").replace(b"amount", b"am\xffount"),
    "half a character": _with("description", b'"\xe2\x82"'),
    "a surrogate as UTF-8": _with("description", b'"\xed\xa0\x80"'),
    "an overlong slash": _with("description", b'"\xc0\xaf"'),
    "a lone surrogate": _with("description", b'"\\ud800"'),
    "a lone low surrogate": _with("description", b'"\\udc00"'),
    "a lone surrogate in a name": _with("metadata", b'{"\\ud800":"x"}'),
    "U+0000": _with("description", b'"\\u0000"'),
    "a raw control character": _with("description", b'"\n"'),
    "an escape that is none": _with("description", b'"\\x41"'),
    "a name twice": _item("bad")[:-1] + b',"amount":1}',
    "a name twice, once escaped": _item("bad")[:-1] + b',"\\u0061mount":1}',
    "a name twice in metadata": _with("metadata", b'{"a":"1","a":"1"}'),
    "NaN": _with("amount", b"NaN"),
    "Infinity": _with("amount", b"-Infinity"),
    "a leading zero": _with("amount", b"01"),
    "a comment": _item("bad") + b"/* x */",
    "two values": _item("bad") + _item("bad"),
    "a comma at the end of an object": _item("bad")[:-1] + b",}",
    "no comma in an object": _item("bad").replace(b",", b" ", 1),
    "single quotes": b"{'amount': 1}",
    "a word": b"undefined",
    "null": b"null",
    "a number": b"17",
    "text": b'"an order"',
    "an empty object": b"{}",
    "a list": b"[]",
    "a card number": _item("bad", description="4242.4242.4242.4242"),
    "a card number as a key": _item("4242424242424242"),
    "a key with a line feed": _item("bad\n"),
    "an amount of 0": _item("bad", amount=0),
    "a currency that there is not": _item("bad", currency="xxx"),
}


async def test_a_bad_item_is_refused_and_its_neighbours_are_stored(
    api: Api, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [_item("first")]
    for number, bad in enumerate(BAD.values()):
        lines += [bad, _item(f"after-{number}")]
    body = b'{"orders":[' + b",\n".join(lines) + b"]}"
    answer = await api.http.post("/v1/orders/batch", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(lines)
    assert {result["status"] for result in results[::2]} == {201}
    refused = dict(zip(BAD, results[1::2], strict=True))
    assert {name: one["status"] for name, one in refused.items() if one["status"] != 400} == {}
    assert all(one["problem"]["detail"] and "4242" not in json.dumps(one) for one in refused.values())
    assert await count(engine, "orders") == len(BAD) + 1
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_a_bad_item_is_the_same_400_alone(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for name, bad in BAD.items():
        if len(bad) < 60_000:
            assert_problem(await api.raw(bad), 400), name
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_one_key_twice_in_a_batch_is_one_order(api: Api, engine: AsyncEngine) -> None:
    body = b'{"orders":[' + b",".join([_item("k"), _item("k"), _item("k", amount=555)]) + b"]}"
    answer = await api.http.post("/v1/orders/batch", content=body, headers={"Content-Type": "application/json"})
    assert [result["status"] for result in answer.json()["results"]] == [201, 201, 422]
    assert await count(engine, "orders") == 1


GOOD = _item("good")


@pytest.mark.parametrize(
    "body",
    [
        b'{"orders":[%s' % GOOD, b'{"orders":[%s]' % GOOD, b'{"orders":[%s]}}' % GOOD, b'{"orders":[%s,]}' % GOOD,
        b'{"orders":[,%s]}' % GOOD, b'{"orders":[%s,,%s]}' % (GOOD, GOOD), b'{"orders":[%s}]' % GOOD,
        b'{"orders":[%s,{"a":"]}' % GOOD, b'{"orders":[%s,%s' % (GOOD, b"[" * 100_000),
        b'{"orders":[%s],"orders":[%s]}' % (GOOD, GOOD), b'{"orders":[%s],"x":1}' % GOOD, b'{"Orders":[%s]}' % GOOD,
        b"[%s]" % GOOD, b"\xff", b"", b'{"orders":[]}', b'{"orders":{}}', b'{"orders":[%s]}' % b",".join([b"1"] * 1001),
        b"\xef\xbb\xbf" + b'{"orders":[%s]}' % GOOD, b'"' * 200_000, b'{"orders":[' + b'"' * 200_001,
        b"[" * 100_000 + b"]" * 100_000, b'{"orders":' * 50_000,
    ],
)  # fmt: skip
def test_a_batch_that_is_none_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BadRequest):
        split(body)


def test_white_space_and_escapes_change_nothing() -> None:
    body = b' {\n"orders"\t:\r\n [ %s , %s ] } \n' % (GOOD, GOOD)
    assert split(body) == [GOOD, GOOD]
    assert split(b'{"\\u006frders":[%s]}' % GOOD) == [GOOD]


def test_the_worst_batch_is_read_in_one_pass() -> None:
    """A reader that begins again at every bracket or quote would take hours: the suite's time limit ends it."""
    for unit in (b"[", b"]", b'{"a":', b'"', b"\\", b"[[[]]]", b'""', b'["', b'\\"', b"[[1],", b'{"a":[[1]],'):
        items(b'{"orders":[' + unit * (BATCH_BODY_MAX // 4 // len(unit)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(_JSON, min_size=1, max_size=5), ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_any_values_are_cut_where_they_were_joined(values: list[Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps({"orders": values}, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    cut = items(body)
    assert cut is not None
    assert len(cut) == len(values)
    assert [repr(json.loads(item.decode(errors="surrogatepass"))) for item in cut] == [repr(value) for value in values]


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=60), key=st.integers())
def test_noise_is_a_bad_request_and_never_another_error(noise: bytes, key: int) -> None:
    for body in (noise, b'{"orders":[' + noise, b'{"orders":[%s,%s]}' % (GOOD, noise)):
        try:
            found = split(body)
        except BadRequest:
            continue
        for item in found:
            try:
                read_item(item)
            except BadRequest:
                continue
