"""The idempotency key: how a producer may spell it.

Pure functions. The rules are R2 and R3 of docs/rules.md; the header follows the expired IETF draft
`draft-ietf-httpapi-idempotency-key-header-07` where that says something, and claims no conformance to a standard.
"""

import re
from collections.abc import Iterable

from service.foundation.errors import BadRequest

KEY_MAX = 200  # characters; Stripe takes 255
RESERVED_PREFIX = "eo1:"  # ours on the wire to Stripe, so no producer's key may look like one

_BARE = re.compile(r"[!#-\[\]-~]+")  # 0x21-0x7E without the quote and the backslash
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # an sf-string of RFC 8941 without parameters
_KEY = re.compile(rf"[!-~]{{1,{KEY_MAX}}}")
_ESCAPED = re.compile(r'\\(["\\])')


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
