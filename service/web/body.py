"""Bodies: a JSON reader that forgives nothing, the shapes of batches and problems, and JSON answers.

Litestar and msgspec are lenient in their own ways (`"1"` for 1, the last of two equal keys wins); an order for money
should mean one thing only. So a body is decoded here, strictly, once, and screened before anybody else sees it.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Meta, Struct, UnsetType

from service.foundation.errors import BadRequest, Problem
from service.foundation.patterns import in_words
from service.orders.keys import parse_key
from service.orders.model import Order, OrderRequest, check_order
from service.web import batch

S = TypeVar("S", bound=Struct)

BODY_MAX = 64 * 1024
BATCH_BODY_MAX = 2 * 1024 * 1024
BATCH_MAX = 1000


class BatchItem(OrderRequest, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """An order in a batch brings its idempotency key along; batch and single orders share one key space."""

    idempotency_key: Annotated[str, Meta(min_length=1, description="as in the header Idempotency-Key")]

    def order(self) -> OrderRequest:
        """The order alone: its fingerprint is the same as if it had been sent by itself."""
        return OrderRequest(
            self.amount, self.currency, self.payment_method, self.customer, self.description, self.metadata
        )


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 orders. Each is judged by itself: one bad item never fails its neighbours."""

    orders: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=BATCH_MAX)]


class ProblemBody(Struct, frozen=True):
    """RFC 9457. `type` is stable, `detail` is for a human and never repeats what was sent."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """One item's answer: an order (201), or a problem."""

    status: int
    replayed: bool = False
    order: Order | UnsetType = UNSET
    problem: ProblemBody | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True):
    """The results, in the order of the request."""

    results: list[BatchResult]


encode = msgspec.json.Encoder().encode


async def read(request: Request[Any, Any, Any], shape: type[S]) -> S:
    """The request's JSON body as `shape`. Raises BadRequest, or Problem 415 for another content type."""
    return decode(await _body(request), shape)


async def read_batch(request: Request[Any, Any, Any]) -> list[bytes]:
    """The items of the request's batch, as they were sent. Raises as `read` does, for the batch and for no item."""
    return split(await _body(request))


async def _body(request: Request[Any, Any, Any]) -> bytes:
    _check_form(request.scope["headers"])
    body = await request.body()
    if not body:
        raise BadRequest("The body is empty. Send it with its Content-Length, or in chunks.", code="body-not-json")
    return body


def split(body: bytes) -> list[bytes]:
    """The items of a batch: 1 to 1,000. Raises BadRequest."""
    found = batch.items(body)
    if found is None or not 1 <= len(found) <= BATCH_MAX:  # the decoder finds the words for what is wrong
        found = [bytes(raw) for raw in decode(body, BatchRequest).orders]
    return found


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


def read_item(raw: bytes) -> tuple[str, OrderRequest]:
    """Key and order of one item of a batch. Raises BadRequest."""
    item = decode(raw, BatchItem)
    order, key = item.order(), parse_key(item.idempotency_key)
    check_order(order, key)
    return key, order


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> ASGIResponse:
    """A JSON answer. Structs are encoded as they are."""
    return ASGIResponse(body=encode(content), status_code=status, headers=headers, media_type="application/json")


class UnsupportedMediaType(Problem):
    """The body is not declared as JSON, or as something that it would have to be unpacked from."""

    status, title, code = 415, "Unsupported media type", "unsupported-media-type"


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
    """What msgspec says: types and paths, never a value; only an unknown field's name is the caller's own text."""
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


_PAIRS = json.JSONDecoder(object_pairs_hook=_unique)
_DECODERS: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    shape: msgspec.json.Decoder(shape) for shape in (OrderRequest, BatchItem, BatchRequest)
}
