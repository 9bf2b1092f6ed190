"""JSON bodies: a strict reader of requests, and the writer of answers.

Litestar and msgspec are lenient in their own ways: they take `"1"` for 1, or the last of two equal names. An order for
money must have one meaning only, so each body is decoded here, once, and strictly.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.response.base import ASGIResponse
from msgspec import Struct

from service.foundation.errors import BadRequest, Problem
from service.foundation.patterns import in_words

S = TypeVar("S", bound=Struct)

BODY_MAX = 64 * 1024  # bytes of a body, where its route says nothing else

encode = msgspec.json.Encoder().encode


async def read(request: Request[Any, Any, Any], shape: type[S]) -> S:
    """The request's JSON body as `shape`. Raises BadRequest or UnsupportedMediaType."""
    return decode(await read_bytes(request), shape)


async def read_bytes(request: Request[Any, Any, Any]) -> bytes:
    """The request's body as it was sent. Raises BadRequest where it is empty, or UnsupportedMediaType."""
    _check_form(request.scope["headers"])
    body = await request.body()
    if not body:
        raise BadRequest("The body is empty. Send it with its Content-Length, or in chunks.", code="body-not-json")
    return body


def decode(body: bytes, shape: type[S]) -> S:
    """Strict JSON as `shape`: no unknown or repeated field, no number as text, no null for a missing field."""
    try:
        found = _DECODERS[shape].decode(body)
        _PAIRS.decode(body.decode())
    except msgspec.ValidationError as error:
        raise BadRequest(_reason(error), code="body-invalid") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="body-invalid") from None
    except ValueError:  # malformed, not UTF-8, or a number with thousands of digits
        raise BadRequest("The body is not JSON.", code="body-not-json") from None
    return found  # type: ignore[no-any-return]


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> ASGIResponse:
    """A JSON answer. Structs are encoded as they are."""
    return ASGIResponse(body=encode(content), status_code=status, headers=headers, media_type="application/json")


class UnsupportedMediaType(Problem):
    """The body is not declared as JSON, or as something that it would have to be unpacked from."""

    code = "unsupported-media-type"


def _check_form(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises UnsupportedMediaType where the headers say that the body is anything but plain JSON."""
    is_json = False
    for name, value in headers:
        if name == b"content-type":
            is_json = is_json or _is_json(value)
        elif name in _AS_IT_IS and value.lower() != _AS_IT_IS[name]:
            raise UnsupportedMediaType(
                f"The body must be sent as it is: {name.decode().title()} may be {_AS_IT_IS[name].decode()} only."
            )
    if not is_json:
        raise UnsupportedMediaType("The body must be sent as application/json.")


# The value of these headers that leaves a body as it is.
_AS_IT_IS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    kind, _, parameter = content_type.lower().partition(b";")
    return kind.strip() == b"application/json" and parameter.strip() in (b"", b"charset=utf-8", b'charset="utf-8"')


def _reason(error: msgspec.ValidationError) -> str:
    """What msgspec says. It names types and paths and no value, but for an unknown field's name, which is left out."""
    text = in_words(str(error))
    return (
        "The body has a field that this API does not know."
        if "unknown field" in text
        else f"The body is invalid: {text}."
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("A name appears twice in one JSON object.", code="body-repeats-a-name")
    return found


class _Decoders(dict[type[Struct], msgspec.json.Decoder[Any]]):
    """A decoder per shape, made when it is first needed."""

    def __missing__(self, shape: type[Struct]) -> msgspec.json.Decoder[Any]:
        made = self[shape] = msgspec.json.Decoder(shape)
        return made


_DECODERS = _Decoders()
_PAIRS = json.JSONDecoder(object_pairs_hook=_unique)
