"""From HTTP to a `Call`: which endpoint, which parameters, and whether the key may enter."""

import base64
import binascii
import logging
import re
from collections.abc import Container
from datetime import date
from typing import NamedTuple

from sandbox.documented import STRIPE
from sandbox.errors import ApiError, invalid, not_done, unauthenticated, unrecognized_url
from sandbox.params import Params, decode, decode_json
from sandbox.state import API_VERSION, Call

# Stripe's second API: JSON in place of forms, and two words before each noun.
FIRST, SECOND = "/v1/", "/v2/core/"
# What stands before the noun in some of Stripe's addresses.
NAMESPACES = ("radar",)
# Versions that the service ever pinned stay known, so that its stored requests can still be sent.
VERSIONS = (API_VERSION,)
_VERSION = re.compile(r"(\d{4}-\d\d-\d\d)(\.[a-z]+)?")
_log = logging.getLogger("sandbox")
MASKED_LENGTH_MIN = 17  # a shorter key would be shown nearly whole
_SECRET_KEY = re.compile(r"sk_test_[A-Za-z0-9_]{1,240}")
_OTHER_KEYS = {
    "restricted_keys": re.compile(r"rk_test_[A-Za-z0-9_]{1,240}"),
    "publishable_keys": re.compile(r"pk_test_[A-Za-z0-9_]{1,240}"),
}


class Request(NamedTuple):
    """One HTTP request; of its headers only those that Stripe reads."""

    method: str
    path: str
    query: bytes
    body: bytes
    authorization: str
    idempotency_key: str | None
    version: str
    account: str


def request_of(scope: dict[str, object], headers: list[tuple[bytes, bytes]], body: bytes) -> Request:
    """The request of an ASGI scope."""
    authorization, version, account = b"", b"", b""
    key: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"idempotency-key":
            key = value
        elif name == b"stripe-version":
            version = value
        elif name in (b"stripe-account", b"stripe-context"):
            account = value
    return Request(
        method=str(scope["method"]),
        path=str(scope["path"]),
        query=bytes(scope["query_string"]),  # type: ignore[call-overload]  # ASGI: always bytes
        body=body,
        authorization=authorization.decode("latin-1"),
        idempotency_key=None if key is None else key.decode("latin-1"),
        version=version.decode("latin-1"),
        account=account.decode("latin-1"),
    )


def call_of(request: Request, request_id: str, routes: Container[str]) -> Call:
    """Decode the parameters and find the route. Raises Stripe's 404 for an unknown URL, 400 for a malformed one."""
    is_second = request.path.startswith(SECOND)
    prefix, before = (SECOND, SECOND[1:]) if is_second else (FIRST, "")
    noun, *rest = request.path.removeprefix(prefix).split("/")
    if noun in NAMESPACES and rest:
        noun = f"{noun}/{rest.pop(0)}"
    object_id = rest[0] if rest else ""
    shape = "/".join([noun, ":id", *rest[1:]]) if rest else noun
    endpoint = f"{request.method} {before}{shape}"
    if not request.path.startswith(prefix) or endpoint not in routes or (rest and not _is_id(request, object_id)):
        raise _no_route(request)
    try:
        params, failed = _params(request, json=is_second), False
    except ApiError:
        raise
    except Exception:  # noqa: BLE001  a bug of ours: this request alone gets its 500, and so does its repeat
        _log.exception("parameters of %s %s", request.method, request.path)
        params, failed = {"": (request.query + b" " + request.body).decode("latin-1")}, True
    takes_key = request.method == "POST" or (is_second and request.method == "DELETE")
    return Call(
        method=request.method,
        path=request.path,
        endpoint=endpoint,
        object_id=object_id,
        params=params,
        request_id=request_id,
        key=(request.idempotency_key or None) if takes_key else None,
        failed=failed,
    )


def check_headers(request: Request, account_id: str, strict: Container[str]) -> None:
    """Raise for a version that is none or not done, for another account, and (if asked to) for an empty key."""
    if request.version and request.version not in VERSIONS:
        if not _is_version(request.version):
            raise invalid(f"Invalid Stripe API version: {request.version}")
        raise not_done(f"version {request.version} of Stripe's API, only {', '.join(VERSIONS)},")
    if request.account and request.account != account_id:
        raise not_done("connected accounts (the headers Stripe-Account and Stripe-Context)")
    if request.idempotency_key == "" and "empty_key" in strict:
        raise invalid("Idempotency keys must not be empty.")


def authenticate(authorization: str, revoked: Container[str], strict: Container[str]) -> str:
    """The API key: a test key, as Bearer or as the user name of Basic, and not revoked. Or Stripe's 401."""
    key = _bearer(authorization)
    if not key:
        raise unauthenticated(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not _SECRET_KEY.fullmatch(key) and not any(
        rule in strict and kind.fullmatch(key) for rule, kind in _OTHER_KEYS.items()
    ):
        raise unauthenticated(f"Invalid API Key provided: {_masked(key)}")
    if key in revoked:
        raise _expired(key)
    return key


def _params(request: Request, *, json: bool) -> Params:
    params = decode(request.query) if request.query else {}
    return params | (decode_json if json else decode)(request.body) if request.body else params


def _is_id(request: Request, object_id: str) -> bool:
    """Not an empty one, and not a word such as `search` that makes the path a route of its own."""
    return bool(object_id) and f"{request.method} {request.path}" not in STRIPE.routes


def _no_route(request: Request) -> ApiError:
    """404, in Stripe's words for what Stripe does not have either."""
    asked = [request.method, *request.path.split("/")[1:]]
    for route in STRIPE.routes:
        method, _, path = route.partition(" /")
        names = [method, *path.split("/")]
        if len(names) == len(asked) and all(a == b or (b == ":id" and a) for a, b in zip(asked, names, strict=True)):
            return not_done(f"{request.method} /{path}", status=404)
    return unrecognized_url(request.method, request.path)


def _is_version(text: str) -> bool:
    found = _VERSION.fullmatch(text)
    try:
        return found is not None and bool(date.fromisoformat(found[1]))
    except ValueError:
        return False


def _bearer(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode("latin-1").partition(":")[0]
    except binascii.Error:
        return ""


def _expired(key: str) -> ApiError:
    return unauthenticated(f"Expired API Key provided: {_masked(key)}", code="api_key_expired")


def _masked(key: str) -> str:
    """The key with its middle hidden, as Stripe's errors show it."""
    return f"{key[:8]}****{key[-4:]}" if len(key) > MASKED_LENGTH_MIN else "****"
