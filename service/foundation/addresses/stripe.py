"""STRIPE_API_BASE in its one spelling, and the forms of STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET."""

import re
from urllib.parse import SplitResult, urlsplit

from service.foundation.errors import Misconfigured

STRIPE_API = "https://api.stripe.com"
_STRIPE_HOST = "api.stripe.com"
_DOMAIN = "stripe.com"
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|[0-9a-f.]*:[0-9a-f:.]*(%[a-z0-9]+)?")
_KEY = re.compile(r"(?P<kind>[sr]k)_(?P<mode>test|live)_(?P<body>[A-Za-z0-9_]{1,250})")
_BODY_MIN = 16  # characters after the prefix of a key that Stripe made; a stand-in takes shorter ones
_SECRET = re.compile(r"whsec_[!-+\--~]{16,250}")  # printable, without a space and the comma between two
_KEY_EXPECTED = "sk_test_…, sk_live_…, rk_test_… or rk_live_… from Stripe's dashboard"
# Beginnings of other secrets, and what they are.
_OTHER_KEYS = {
    "whsec_": "the secret of a webhook endpoint (STRIPE_WEBHOOK_SECRET)",
    "pk_": "a publishable key, which cannot charge",
    "ek_": "an ephemeral key",
    "sk_org_": "a key of an organization, whose requests must name an account; make a key of the account instead",
}


def normal(base: str) -> str:
    """The address in its one spelling: lower case, without the usual port and a final slash. Raises Misconfigured."""
    parts = _split(base)
    host, port = _host(parts), _port(parts)
    path = parts.path.rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    address = f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}") + path
    if (host == _DOMAIN or host.endswith(f".{_DOMAIN}")) and address != STRIPE_API:
        raise _wrong(f"is at Stripe, but is not its API. The API is {STRIPE_API}, over TLS and without a path")
    return address


def is_stripe(base: str) -> bool:
    """Whether the address is Stripe's own, which an empty one means. An invalid address is not."""
    try:
        return not base or normal(base) == STRIPE_API
    except Misconfigured:
        return False


def is_live(key: str) -> bool:
    """Whether the key takes real money. Stripe's account id is the same in test mode, so only the key tells."""
    return key.startswith(("sk_live_", "rk_live_"))


def check_key(key: str, base: str) -> None:
    """Raises Misconfigured where the text cannot be a secret key for this address. The message does not have it."""
    for start, what in _OTHER_KEYS.items():
        if key.startswith(start):
            raise Misconfigured(f"STRIPE_API_KEY is {what}. Expected: {_KEY_EXPECTED}.")
    found = _KEY.fullmatch(key)
    if found is None:
        raise Misconfigured(f"STRIPE_API_KEY is not a secret key{_because(key)}. Expected: {_KEY_EXPECTED}.")
    if is_stripe(base) and len(found["body"]) < _BODY_MIN:
        raise Misconfigured(f"STRIPE_API_KEY is too short for a key that Stripe made. Expected: {_KEY_EXPECTED}.")
    if is_live(key) and base.startswith("http://"):
        raise Misconfigured(
            "STRIPE_API_KEY is a live key, and STRIPE_API_BASE would be sent it in the clear (http://)."
        )


def webhook_secrets(text: str) -> tuple[str, ...]:
    """The secrets of a list that commas separate. Raises Misconfigured, without them, where one cannot be a secret."""
    found = tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
    if text and not (found and all(map(_SECRET.fullmatch, found))):
        raise Misconfigured(
            "STRIPE_WEBHOOK_SECRET is not the secret of a webhook endpoint, or several with commas between them. "
            "Expected: whsec_… from Stripe's dashboard (Developers, Webhooks)."
        )
    return found


def _because(key: str) -> str:
    if any(character.isspace() for character in key):
        return ": there is a space or a line break in it"
    if key in ("sk_test_", "sk_live_", "rk_test_", "rk_live_"):
        return ": nothing follows its beginning"
    return ""


def _split(base: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in base):
        raise _wrong("has a space or a line break in it")
    try:
        parts = urlsplit(base)
    except ValueError as error:
        raise _wrong("is no address") from error
    if parts.scheme not in _PORTS or not base.lower().startswith(f"{parts.scheme}://"):
        raise _wrong(f"does not begin with https:// or http://. Stripe's is {STRIPE_API}")
    if "@" in parts.netloc:
        raise _wrong("has a user or a password in it; the key is STRIPE_API_KEY")
    if "?" in base or "#" in base:
        raise _wrong("has a ? or a # in it; it is only the beginning of an address")
    if re.search(r"//|%|\\|(^|/)\.\.?(/|$)", parts.path):
        raise _wrong("has a path that is not plain")
    return parts


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST.fullmatch(host):
        raise _wrong("names no host")
    return host


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError as error:
        raise _wrong("has a port that is no number from 1 to 65535") from error
    if port == 0:
        raise _wrong("has a port that is no number from 1 to 65535")
    return port


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"STRIPE_API_BASE {what}.")
