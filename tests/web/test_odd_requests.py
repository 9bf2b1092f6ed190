"""What no client of good will sends: any bytes in a path, a query or a header are answered with 4xx, never 5xx."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.foundation.errors import BadRequest
from service.web.query import Query
from tests.web.conftest import ORDER, Api, assert_problem

ID = "0190a000-0000-7000-8000-000000000000"
BODY = json.dumps(ORDER).encode()
QUERIES = [
    b"%ff", b"limit=%ff", b"limit=1&limit=2", b"limit=" + b"9" * 4_500, b"limit=%00", b"limit=%EF%BC%91", b"limit=-1",
    b"limit=1e1", b"limit=%201", b"limit=1;limit=2", b"&" * 1_000, b"%", b"%zz=1", b"=", b"a" * 3_000, b"x=%ED%A0%80",
    b"cursor=%ff", b"cursor=" + b"A" * 3_000, b"cursor=%F0%9F", b"cursor=+++", b"cursor=AZCgAAAAcACAAAAAAAAAAA!!",
    b"status=paid%00", b"status=", b"idempotency_key=%ff", b"idempotency_key=%00", b"idempotency_key=" + b"x" * 3_000,
]  # fmt: skip
INSTANTS = [
    "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "2026-11-24", "2026-11-24T24:00:00Z", "%FF", "", "0",
    "2026-11-24T00:00:60Z", "2026-11-24T00:00:00%2B99:99", "9" * 4_500, "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
]  # fmt: skip
IDS = ["", "%FF", "x", f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", ""), "0_90a000000070008000000000000000",
       f"{ID}%00", "9" * 4_500, "%F0%9F%92%B3"]  # fmt: skip
PATHS = [
    "%FF",
    "%00",
    "..%2F..%2Fetc%2Fpasswd",
    "x" * 3_000,
    f"{{{ID}}}",
    f"{ID}%00",
    "%zz",
    "%",
    f"{ID};x=1",
    "%ED%A0%80",
]
HEADERS = [b"", b"\xff", b"\x80\x81", b"\xe2\x80\xae", b"9" * 500, b"wait=" + b"9" * 500, b"wait=\xff", b'"', b"\\",
           b"=;=;;", b"gzip;q=nan", b"bytes=0-99999999999999999999", b"a, b, c",
           b"application/json;charset=\xff"]  # fmt: skip
NAMES = [b"X-Request-Id", b"Prefer", b"Accept", b"Accept-Encoding", b"Cookie", b"Range", b"If-None-Match", b"Origin",
         b"X-Forwarded-For", b"Content-Encoding", b"User-Agent", b"TE"]  # fmt: skip


def assert_quiet(caplog: pytest.LogCaptureFixture) -> None:
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_a_query_that_cannot_be_read_is_400(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for query in QUERIES:
        assert_problem(await api.http.get("/v1/orders?" + query.decode()), 400)
    for moment in INSTANTS:
        assert_problem(await api.http.get(f"/v1/ledger/balances?as_of={moment}"), 400, "query-invalid")
    for order_id in IDS:
        assert_problem(await api.http.get(f"/v1/ledger/entries?order_id={order_id}"), 400, "query-invalid")
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-24T00:00:00%2B14:00"):
        assert (await api.http.get(f"/v1/ledger/balances?as_of={moment}")).status_code == 200
    assert_quiet(caplog)


async def test_a_path_that_leads_nowhere_is_404(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for path in PATHS:
        for whole in (f"/v1/orders/{path}", f"/v1/orders/{path}/timeline", f"/{path}", f"/docs/{path}"):
            assert_problem(await api.http.get(whole), 404)
    assert_quiet(caplog)


async def test_any_header_is_answered(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    usual = {b"Content-Type": b"application/json", b"Idempotency-Key": b"k"}
    for value in HEADERS:
        odd = list(usual.items()) + [(name, value) for name in NAMES if name != b"Content-Encoding"]
        assert (await api.http.post("/v1/orders", content=BODY, headers=odd)).status_code == 201
        for name, status in (
            (b"Idempotency-Key", 400), (b"Content-Type", 415), (b"Content-Encoding", 415), (b"Authorization", 401),
        ):  # fmt: skip
            answer = await api.http.post("/v1/orders", content=BODY, headers=list((usual | {name: value}).items()))
            assert answer.status_code in (status, 201 if name == b"Idempotency-Key" else status), (name, value)
    assert_quiet(caplog)


async def test_bytes_that_are_no_request_are_400(api: Api) -> None:
    for line in (b"GET /v1/orders?limit=\xff HTTP/1.1", b"GET /\xff\xfe HTTP/1.1", b"GET  HTTP/1.1", b"\xff" * 100):
        reader, writer = await asyncio.open_connection(api.http.base_url.host, api.http.base_url.port)
        writer.write(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.binary(max_size=40) | st.sampled_from(QUERIES), value=st.text(max_size=40))
def test_any_query_is_read_or_refused(query: bytes, value: str) -> None:
    for string in (query, b"as_of=" + query, b"order_id=" + query, b"cursor=" + query, value.encode(errors="replace")):
        try:
            found = Query(string, allowed=("status", "idempotency_key", "limit", "cursor", "as_of", "order_id"))
        except BadRequest:
            continue
        for read in (found.limit, found.cursor, found.status, found.key, found.as_of, found.order_id):
            try:
                read()
            except BadRequest:
                continue
