"""From HTTP to a `Call`: which endpoint, which parameters, and whether the key may enter."""

import base64
import binascii
import re
from collections.abc import Container
from typing import NamedTuple

from sandbox.errors import ApiError, unauthenticated, unrecognized_url
from sandbox.params import decode
from sandbox.state import Call

PREFIX = "/v1/"
MASKED_LENGTH_MIN = 17  # a shorter key would be shown nearly whole
_SECRET_KEY = re.compile(r"sk_test_[A-Za-z0-9_]{1,240}")


class Request(NamedTuple):
    """One HTTP request; of its headers only those that Stripe reads."""

    method: str
    path: str
    query: bytes
    body: bytes
    authorization: str
    idempotency_key: str | None
    version: bytes


def request_of(scope: dict[str, object], headers: list[tuple[bytes, bytes]], body: bytes) -> Request:
    """Pick what matters from an ASGI scope."""
    authorization, key, version = b"", b"", b""
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"idempotency-key":
            key = value
        elif name == b"stripe-version":
            version = value
    return Request(
        method=str(scope["method"]),
        path=str(scope["path"]),
        query=bytes(scope["query_string"]),  # type: ignore[call-overload]  # ASGI: always bytes
        body=body,
        authorization=authorization.decode("latin-1"),
        idempotency_key=key.decode("latin-1") or None,
        version=version,
    )


def call_of(request: Request, request_id: str, routes: Container[str]) -> Call:
    """Decode and route. Raises Stripe's 404 for an unknown URL, 400 for an undecodable one."""
    noun, *rest = request.path.removeprefix(PREFIX).split("/")
    object_id = rest[0] if rest else ""
    shape = "/".join([noun, ":id", *rest[1:]]) if object_id else noun
    endpoint = f"{request.method} {shape}"
    if not request.path.startswith(PREFIX) or endpoint not in routes:
        raise unrecognized_url(request.method, request.path)
    params = decode(request.query) if request.query else {}
    if request.body:
        params |= decode(request.body)
    return Call(
        method=request.method,
        path=request.path,
        endpoint=endpoint,
        object_id=object_id,
        params=params,
        request_id=request_id,
        key=request.idempotency_key if request.method == "POST" else None,
    )


def authenticate(authorization: str, revoked: Container[str]) -> None:
    """Raise Stripe's 401 unless a test key comes as Bearer or as the user name of Basic, and is not revoked."""
    key = _bearer(authorization)
    if not key:
        raise unauthenticated(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not _SECRET_KEY.fullmatch(key):
        raise unauthenticated(f"Invalid API Key provided: {_masked(key)}")
    if key in revoked:
        raise _expired(key)


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
    """Enough to recognise a key, too little to use it."""
    return f"{key[:8]}****{key[-4:]}" if len(key) > MASKED_LENGTH_MIN else "****"
