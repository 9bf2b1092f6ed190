"""One key, one spelling rule; a fingerprint that knows requests, not bytes; a wire key that cannot collide."""

from hashlib import sha256
from itertools import combinations
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.foundation.errors import BadRequest
from service.orders.identity import fingerprint, same_request, wire_key
from service.orders.keys import key_of_headers, parse_key
from service.orders.model import OrderRequest
from service.web.batch import BatchItem
from service.web.body import decode

PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
ACCOUNT, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        '"',
        '""',
        '"a',
        '"a";p=1',
        '"a" ',
        "a b",
        '"a b"',
        'a"b',
        "a\\b",
        '"a\\c"',
        "é",
        "a\n",
        "a\x7f",
        "x" * 201,
    ],
)
def test_a_malformed_key_is_refused(spelling: str) -> None:
    with pytest.raises(BadRequest, match="idempotency key"):
        parse_key(spelling)


@pytest.mark.parametrize("spelling", ["eo1:abc", '"eo1:abc"'])
def test_a_key_that_looks_like_ours_is_refused(spelling: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_key(spelling)
    assert refused.value.code == "idempotency-key-reserved"


@given(PRINTABLE.filter(lambda key: not key.startswith("eo1:")))
def test_every_printable_key_can_be_quoted_and_is_then_itself(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse_key(quoted) == key


@pytest.mark.parametrize("key", ["a", "A", "x" * 200, "cart:17", "a;b=1", "a,b", "EO1:x"])
def test_bare_and_quoted_are_the_same_key_and_case_is_kept(key: str) -> None:
    assert parse_key(key) == parse_key(f'"{key}"') == key


def test_a_missing_and_a_repeated_header_are_refused() -> None:
    with pytest.raises(BadRequest) as missing:
        key_of_headers([(b"host", b"x")])
    assert missing.value.code == "idempotency-key-missing"
    with pytest.raises(BadRequest):
        key_of_headers([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")])


def test_the_fingerprint_ignores_key_order_white_space_and_defaults() -> None:
    one = decode(b'{"amount":1999,"currency":"usd","payment_method":"pm_x","metadata":{"a":"1","b":"2"}}', OrderRequest)
    two = decode(
        b'{ "metadata": {"b": "2", "a": "1"}, "payment_method": "pm_x",\n"currency": "usd", "amount": 1999}',
        OrderRequest,
    )
    assert fingerprint(one) == fingerprint(two)
    bare = decode(b'{"amount":1999,"currency":"usd","payment_method":"pm_x"}', OrderRequest)
    assert fingerprint(bare) == fingerprint(msgspec.structs.replace(bare, metadata={}))


def test_a_field_that_was_added_later_leaves_yesterdays_fingerprint_alone() -> None:
    before = b'{"amount":1999,"currency":"usd","payment_method":"pm_x"}'  # as version 0.1 has written it
    for request in (OrderRequest(1999, "usd", "pm_x"), OrderRequest(1999, "usd", "pm_x", capture="automatic")):
        assert fingerprint(request) == b"\x01" + sha256(before).digest()


def test_the_fingerprint_is_the_same_alone_and_in_a_batch() -> None:
    for more in (b"", b',"capture":"manual","metadata":{"a":"1"}'):
        fields = b'"amount":1999,"currency":"usd","payment_method":"pm_x"' + more
        alone, item = (
            decode(b"{" + fields + b"}", OrderRequest),
            decode(b'{"idempotency_key":"k",' + fields + b"}", BatchItem),
        )
        assert fingerprint(alone) == fingerprint(item.order())


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 2000},
        {"currency": "eur"},
        {"payment_method": "pm_y"},
        {"customer": "cus_1"},
        {"description": "x"},
        {"metadata": {"a": "1"}},
        {"capture": "manual"},
    ],
)
def test_every_field_counts_for_the_fingerprint(change: dict[str, object]) -> None:
    request = OrderRequest(1999, "usd", "pm_x")
    assert not same_request(fingerprint(request), msgspec.structs.replace(request, **change))
    assert same_request(fingerprint(request), OrderRequest(1999, "usd", "pm_x"))


def test_the_default_accounts_first_charge_sends_the_producers_key_verbatim() -> None:
    assert (
        wire_key(account_id=ACCOUNT, is_default=True, operation="charge", order_key="cart:17", attempt=1) == "cart:17"
    )


def test_every_other_wire_key_is_a_hash_that_no_producer_may_use() -> None:
    keys = [
        wire_key(account_id=account, is_default=default, operation=operation, order_key=order, attempt=attempt)
        for account, default in ((ACCOUNT, True), (OTHER, False))
        for operation in ("charge", "refund", "chargex")
        for order in ("k", "k1", "kx")
        for attempt in (1, 2, 11)
        if not (default and operation == "charge" and attempt == 1)
    ]
    assert all(key.startswith("eo1:") and len(key) == 56 and key.isascii() for key in keys)
    assert all(one != two for one, two in combinations(keys, 2))
    with pytest.raises(BadRequest):
        parse_key(keys[0])


def test_the_parts_of_a_wire_key_cannot_flow_into_each_other() -> None:
    def key(operation: str, order_key: str) -> str:
        return wire_key(account_id=ACCOUNT, is_default=False, operation=operation, order_key=order_key, attempt=1)

    assert key("charge", "xk") != key("chargex", "k")


def test_wire_keys_are_the_same_for_ever() -> None:
    """A changed derivation would charge an order again under another key after an upgrade."""
    assert (
        wire_key(account_id=ACCOUNT, is_default=True, operation="charge", order_key="cart:17", attempt=2)
        == "eo1:CTEC24SOITNOZVV2EYDWEKO74YIPI44XBF75N7PVSIR76VBZB4XQ"
    )
