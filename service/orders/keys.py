"""The idempotency key: how a producer may spell it, what it is compared with, and what Stripe is sent for it.

Pure functions. The rules are PROTOCOL R1 to R3; the header follows the expired IETF draft
`draft-ietf-httpapi-idempotency-key-header-07` where that says something, and claims no conformance to a standard.
"""

import re
from base64 import b32encode
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

import msgspec

from service.foundation.errors import BadRequest

KEY_MAX = 200  # characters; Stripe takes 255
RESERVED_PREFIX = "eo1:"  # ours on the wire to Stripe, so no producer's key may look like one
CHARGE = "charge"
CANCEL = "cancel"

_BARE = re.compile(r"[!#-\[\]-~]+")  # 0x21-0x7E without the quote and the backslash
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # an sf-string of RFC 8941 without parameters
_KEY = re.compile(rf"[!-~]{{1,{KEY_MAX}}}")
_ESCAPED = re.compile(r'\\(["\\])')

_canonical = msgspec.json.Encoder(order="sorted").encode


def key_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key of one request, from its raw ASGI headers. Raises BadRequest when missing, repeated or malformed."""
    values = [value for name, value in headers if name == b"idempotency-key"]
    if not values:
        raise BadRequest("The Idempotency-Key header is missing.", code="idempotency-key-missing")
    if len(values) > 1:
        raise BadRequest("The Idempotency-Key header is repeated.", code="idempotency-key-malformed")
    return parse_key(values[0].decode("latin-1").strip(" \t"))


def parse_key(spelling: str) -> str:
    """The key meant by `spelling`: `abc` and `"abc"` are the same one. Case is kept. Raises BadRequest.

    A spelling that starts with a quote is a structured-field string and is unquoted before anything else; a bare one
    has neither quotes nor backslashes, so that no key has two bare spellings.
    """
    if spelling.startswith('"'):
        quoted = _QUOTED.fullmatch(spelling)
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else ""
    else:
        key = spelling if _BARE.fullmatch(spelling) else ""
    if not _KEY.fullmatch(key):
        raise BadRequest(
            f"The idempotency key must be 1 to {KEY_MAX} printable ASCII characters without spaces, bare or quoted.",
            code="idempotency-key-malformed",
        )
    if key.startswith(RESERVED_PREFIX):
        raise BadRequest(
            f"Idempotency keys starting with {RESERVED_PREFIX} are reserved.", code="idempotency-key-reserved"
        )
    return key


def is_key(text: str) -> bool:
    """Whether `text` is a key that a producer can have given."""
    return bool(_KEY.fullmatch(text)) and not text.startswith(RESERVED_PREFIX)


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
    parts = [account_id.bytes, operation.encode(), order_key.encode(), str(attempt).encode()]
    if nth is not None:
        parts.append(str(nth).encode())
    digest = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    return RESERVED_PREFIX + b32encode(digest).decode().rstrip("=")
