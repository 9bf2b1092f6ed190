"""Whether a body was sent by Stripe: its header `Stripe-Signature`, against the secrets of our endpoints. Pure.

The header is `t=<Unix seconds>,v1=<HMAC-SHA256 of "t.body" in hex>`, with one `v1` for each secret while Stripe rolls
them. Whatever is wrong is one error, which does not say what it is. Stripe's SDK takes any time in the future, and any
age where its tolerance is 0; here both are bounded.
"""

import hmac
import re
from collections.abc import Sequence

AGE_MAX_S = 300  # older: a body that somebody recorded; Stripe signs each repeat anew
FUTURE_MAX_S = 60  # further ahead no clock is
_ITEMS_MAX = 20  # while a secret is rolled there are three
_MOMENT = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class NotSigned(Exception):
    """The header does not prove that Stripe sent this body, now."""


def check(header: str, body: bytes, secrets: Sequence[str], now: float) -> None:
    """The body was signed with one of the secrets, within the bounds of time. Raises NotSigned. `now`: Unix seconds."""
    moment, signatures = _parsed(header)
    signed = f"{moment}.".encode() + body
    expected = [hmac.digest(secret.encode(), signed, "sha256").hex() for secret in secrets]
    # Each is compared with each, so that the time does not tell which one it was.
    matches = [hmac.compare_digest(one, other) for one in expected for other in signatures]
    if not any(matches) or not -FUTURE_MAX_S <= now - moment <= AGE_MAX_S or not _is_text(body):
        raise NotSigned


def _parsed(header: str) -> tuple[int, list[str]]:
    """The one moment, and every signature of the scheme `v1`. Other schemes are for tests of Stripe's own."""
    items = [item.partition("=") for item in header.split(",")]
    moments = [value for name, _, value in items if name == "t"]
    signatures = [value for name, _, value in items if name == "v1"]
    if len(items) > _ITEMS_MAX or len(moments) != 1 or not signatures:
        raise NotSigned
    if not _MOMENT.fullmatch(moments[0]) or not all(map(_SIGNATURE.fullmatch, signatures)):
        raise NotSigned
    return int(moments[0]), signatures


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
