"""Our check of Stripe-Signature against Stripe's own: whatever ours takes, the SDK takes; it also bounds the time."""

import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from service.stripe_gateway.signature import AGE_MAX_S, FUTURE_MAX_S, NotSigned, check

SECRET, OTHER, OLD = "whsec_" + "1" * 32, "whsec_" + "2" * 32, "whsec_" + "3" * 32
BODY = '{"id": "evt_1", "object": "event", "note": "ünïcödé 💶"}'
NOW = 1_790_000_000


def header(moment: int = NOW, secret: str = SECRET, body: str = BODY) -> str:
    """Made by Stripe's SDK."""
    made: str = WebhookSignature.generate_signature_header(body, secret, timestamp=moment)
    return made


def signature(**changes: Any) -> str:
    return header(**changes).partition(",v1=")[2]


def takes(text: str, body: bytes = BODY.encode(), secrets: tuple[str, ...] = (SECRET,), now: float = NOW) -> bool:
    try:
        check(text, body, secrets, now)
    except NotSigned:
        return False
    return True


def test_what_stripes_sdk_signs_is_taken() -> None:
    assert takes(header())
    assert takes(header(), secrets=(OLD, SECRET))
    assert not takes(header(secret=OTHER))
    assert not takes(header(), body=BODY.encode() + b" ")
    assert not takes(header(), secrets=())


def test_while_a_secret_is_rolled_one_of_several_signatures_is_enough() -> None:
    both = f"{header(secret=OTHER)},v1={signature()}"
    assert takes(both)
    assert takes(both, secrets=(OTHER,))
    assert takes(f"{header()},v0={'0' * 64}"), "Stripe's test events bear a signature of a scheme that counts nothing"
    assert not takes(f"t={NOW},v0={signature()}")
    assert not takes(both, secrets=(OLD,))


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (0, True), (AGE_MAX_S, True), (AGE_MAX_S + 1, False), (10**6, False),
        (-FUTURE_MAX_S, True), (-FUTURE_MAX_S - 1, False), (-(10**6), False),
    ],
)  # fmt: skip
def test_the_age_is_bounded_on_both_sides(age: int, taken: bool) -> None:
    assert takes(header(NOW - age)) == taken


def test_the_sdk_would_take_a_signature_from_the_future() -> None:
    """The reason for a check of our own; where the SDK begins to refuse it, this may go."""
    ahead = header(int(time.time()) + 10**6)
    assert WebhookSignature.verify_header(BODY, ahead, SECRET, tolerance=300)


MALFORMED: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "no moment": lambda one: f"v1={one}",
    "no signature": lambda _: f"t={NOW}",
    "another separator": lambda one: f"t={NOW};v1={one}",
    "a space before": lambda one: f"t={NOW}, v1={one}",
    "a space within": lambda one: f"t= {NOW},v1={one}",
    "two moments": lambda one: f"t={NOW},t={NOW},v1={one}",
    "another moment first": lambda one: f"t=1,t={NOW},v1={one}",
    "a sign": lambda one: f"t=+{NOW},v1={one}",
    "a leading zero": lambda one: f"t=0{NOW},v1={one}",
    "other digits": lambda one: f"t={str(NOW).translate({48 + n: 0x660 + n for n in range(10)})},v1={one}",
    "underscores": lambda one: f"t={NOW:_},v1={one}",
    "a fraction": lambda one: f"t={NOW}.0,v1={one}",
    "a huge moment": lambda one: f"t={'9' * 5_000},v1={one}",
    "capitals": lambda one: f"t={NOW},v1={one.upper()}",
    "one digit less": lambda one: f"t={NOW},v1={one[:-1]}",
    "one digit more": lambda one: f"t={NOW},v1={one}0",
    "a name in capitals": lambda one: f"T={NOW},V1={one}",
    "a second equals sign": lambda one: f"t={NOW},v1={one}=",
    "no ASCII": lambda one: f"t={NOW},v1=é{one}",
    "too many": lambda one: ",".join([f"t={NOW}", *["v1=" + "0" * 64] * 30, f"v1={one}"]),
    "a newline": lambda one: f"t={NOW},v1={one}\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_every_malformed_header_is_the_same_refusal(kind: str) -> None:
    with pytest.raises(NotSigned) as refusal:
        check(MALFORMED[kind](signature()), BODY.encode(), (SECRET,), NOW)
    assert refusal.value.args == ()


def test_a_body_that_is_no_text_is_refused_as_the_sdk_refuses_it() -> None:
    body = b"\xff\xfe"
    signed = hmac.digest(SECRET.encode(), f"{NOW}.".encode() + body, "sha256").hex()
    assert not takes(f"t={NOW},v1={signed}", body=body)
    with pytest.raises(UnicodeDecodeError):
        WebhookSignature.verify_header(body, f"t={NOW},v1={signed}", SECRET)


PIECES = st.sampled_from(
    [
        "t=", "v1=", "v0=", ",", "=", " ", "0", "\n", "+", "_",
        f"t={NOW}", f"t={NOW + 1}", f"v1={signature()}", f"v1={signature(secret=OTHER)}", f"v1={'0' * 64}",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(PIECES, max_size=7),
    comma=st.booleans(),
    body=st.sampled_from([BODY.encode(), b"", b"\xff", BODY.encode() + b"\n"]),
    secrets=st.sampled_from([(SECRET,), (OTHER, SECRET), (OTHER,), ()]),
    age=st.integers(-400, 400),
)
def test_what_ours_takes_the_sdk_takes(
    pieces: list[str],
    comma: bool,
    body: bytes,
    secrets: tuple[str, ...],
    age: int,
) -> None:
    text = (",".join if comma else "".join)(pieces)
    if takes(text, body, secrets, NOW + age):
        assert any(_sdk_takes(text, body, secret) for secret in secrets)
        assert -FUTURE_MAX_S <= age <= AGE_MAX_S


def _sdk_takes(text: str, body: bytes, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, text, secret))
    except SignatureVerificationError:
        return False


@settings(max_examples=100, deadline=None)
@given(body=st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore").decode()), age=st.integers(-60, 300))
def test_whatever_the_sdk_signs_within_the_bounds_is_taken(body: str, age: int) -> None:
    assert takes(header(NOW - age, body=body), body.encode())


def test_the_sdk_reads_what_it_signed_as_we_do() -> None:
    """The whole way of Stripe's own client, at this very moment."""
    moment = int(time.time())
    event = stripe.Webhook.construct_event(BODY, header(moment), SECRET, api_key="sk_test_x")
    assert event.id == "evt_1"
    assert takes(header(moment), now=time.time())
