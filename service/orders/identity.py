"""What makes two requests the same one, and the idempotency key that Stripe is sent for an order. Pure."""

from base64 import b32encode
from hashlib import sha256
from uuid import UUID

import msgspec

from service.orders.keys import RESERVED_PREFIX

CHARGE = "charge"
CAPTURE = "capture"
CANCEL = "cancel"
REFUND = "refund"

_canonical = msgspec.json.Encoder(order="sorted").encode


def fingerprint(request: msgspec.Struct) -> bytes:
    """One version byte and the SHA-256 of a validated request: what a repeat must agree with.

    Defaults are left out and names are sorted, so neither key order nor white space nor a field that is added to the
    API later (with a default) makes yesterday's retry look like another request.
    """
    return b"\x01" + sha256(_canonical(request)).digest()


def same_request(stored: bytes, request: msgspec.Struct) -> bool:
    """Whether `request` is the one that `stored` was made of, judged by the stored version's own rule (R4)."""
    return _FINGERPRINTS[stored[0]](request) == stored


def is_fingerprint(stored: bytes) -> bool:
    """Whether `stored` is a fingerprint that this version can compare a request with."""
    return len(stored) == 1 + sha256().digest_size and stored[0] in _FINGERPRINTS


_FINGERPRINTS = {1: fingerprint}


def wire_key(
    *, account_id: UUID, is_default: bool, operation: str, order_key: str, attempt: int, nth: int | None = None
) -> str:
    """The idempotency key that Stripe is sent (R1).

    The default account's first attempt to charge sends the producer's key verbatim, so that it can be looked up at
    Stripe by the name the producer knows. Every other key is a hash: a readable suffix such as `cart:17:2` could be
    some producer's own key. `nth` is the number of the try, for what may be asked of Stripe more than once (R37).
    """
    if is_default and operation == CHARGE and attempt == 1:
        return order_key
    return _derived(account_id, operation, order_key, str(attempt), *(() if nth is None else (str(nth),)))


def refund_wire_key(*, account_id: UUID, order_key: str, refund_key: str, nth: int) -> str:
    """The idempotency key that Stripe is sent for a refund: its own, whatever the amount (R1, R37).

    Two equal refunds of one order are two refunds, if their producer gave them two keys.
    """
    return _derived(account_id, REFUND, order_key, refund_key, str(nth))


def _derived(account_id: UUID, *words: str) -> str:
    """A hash over the length-prefixed parts, so that no two tuples share a key."""
    parts = [account_id.bytes, *(word.encode() for word in words)]
    digest = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    return RESERVED_PREFIX + b32encode(digest).decode().rstrip("=")
