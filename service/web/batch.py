"""A batch of orders: its shapes, and how it is read so that each item is judged by itself.

A batch is cut into its items by their bytes: only `{"orders": [ … ]}` and the commas between the items are read here.
An item may be anything whose brackets and quotes close. What is wrong inside an item (a byte that is no UTF-8, a number
of 5,000 digits, 100,000 brackets, NaN) is found when the item is decoded, and refuses that item only.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from litestar import Request
from msgspec import UNSET, Meta, Struct, UnsetType

from service.orders import Order, OrderRequest, check_order
from service.orders.keys import parse_key
from service.web.body import decode, read_bytes
from service.web.problem_types import ProblemBody

BATCH_BODY_MAX = 2 * 1024 * 1024  # bytes
BATCH_MAX = 1000  # orders


class BatchItem(OrderRequest, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """An order in a batch brings its idempotency key along; batch and single orders share one key space."""

    idempotency_key: Annotated[str, Meta(min_length=1, description="as in the header Idempotency-Key")]

    def order(self) -> OrderRequest:
        """The order alone: its fingerprint is the same as if it had been sent by itself."""
        return OrderRequest(
            self.amount,
            self.currency,
            self.payment_method,
            self.customer,
            self.description,
            self.metadata,
            self.capture,
        )


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 orders. Each is judged by itself: one bad item never fails its neighbours."""

    orders: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=BATCH_MAX)]


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """One item's answer: an order (201), or a problem."""

    status: int
    replayed: bool = False
    order: Order | UnsetType = UNSET
    problem: ProblemBody | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True):
    """The results, in the order of the request."""

    results: list[BatchResult]


async def read(request: Request[Any, Any, Any]) -> list[bytes]:
    """The items of the request's batch, as they were sent. Raises BadRequest or UnsupportedMediaType for the batch."""
    return split(await read_bytes(request))


def split(body: bytes) -> list[bytes]:
    """The items of a batch: 1 to 1,000. Raises BadRequest."""
    found = items(body)
    if found is None or not 1 <= len(found) <= BATCH_MAX:  # the decoder finds the words for what is wrong
        found = [bytes(raw) for raw in decode(body, BatchRequest).orders]
    return found


def read_item(raw: bytes) -> tuple[str, OrderRequest]:
    """Key and order of one item of a batch. Raises BadRequest."""
    item = decode(raw, BatchItem)
    order, key = item.order(), parse_key(item.idempotency_key)
    check_order(order, key)
    return key, order


def items(body: bytes) -> list[bytes] | None:
    """The items of a batch, as they were sent; None where the batch is not `{"orders": [ … ]}`."""
    head = _HEAD.match(body)
    try:
        return None if head is None else list(_Cut(body).items(head.end()))
    except _Broken:
        return None


_STEPS_MAX = 250_000  # brackets counted one by one, in 0.1 s; those of an order are matched by a pattern
_SPACE = b" \t\n\r"
_S = rb"[ \t\n\r]*+"
_HEAD = re.compile(rb'%s\{%s"orders"%s:%s\[' % (_S, _S, _S, _S))
_TAIL = re.compile(rb"\]%s\}%s" % (_S, _S))

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TEXT = rb'(?:[^"{}\[\]]++|%s)' % _STRING
_FLAT = rb"[\[{]%s*+[\]}]" % _TEXT
_NESTED = rb"[\[{](?:%s|%s)*+[\]}]" % (_TEXT, _FLAT)
# One match passes over an order with its metadata: the first between the commas of a batch, the second in brackets.
_BETWEEN_COMMAS = re.compile(rb'(?:[^"{}\[\],]++|%s|%s)++' % (_STRING, _NESTED), re.DOTALL)
_INSIDE = re.compile(rb"(?:%s|%s)++" % (_TEXT, _NESTED), re.DOTALL)
_OPENING, _CLOSING = re.compile(rb"[\[{]++"), re.compile(rb"[\]}]++")


class _Broken(Exception):
    """The brackets, quotes or commas of a batch do not make an array."""


class _Cut:
    """One pass over the bytes of a batch."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._steps = 0

    def items(self, at: int) -> Iterator[bytes]:
        """The items of the array that was opened before `at`. Raises _Broken."""
        body, is_first = self._body, True
        while True:
            end = self._end_of_item(at)
            if item := body[at:end].strip(_SPACE):
                yield item
            elif not is_first or body[end : end + 1] != b"]":
                raise _Broken
            if body[end : end + 1] != b",":
                break
            at, is_first = end + 1, False
        if not _TAIL.fullmatch(body, end):
            raise _Broken

    def _end_of_item(self, at: int) -> int:
        """The position of the comma or bracket behind the item that begins at `at`."""
        while True:
            if (passed := _BETWEEN_COMMAS.match(self._body, at)) is not None:
                at = passed.end()
            if self._body[at : at + 1] not in (b"{", b"["):
                return at
            at = self._end_of_brackets(at)

    def _end_of_brackets(self, at: int) -> int:
        """The position behind the bracket that closes the one at `at`. It counts depth instead of calling itself."""
        depth = 0
        while True:
            self._steps += 1
            if self._steps > _STEPS_MAX:
                raise _Broken
            if (opening := _OPENING.match(self._body, at)) is not None:
                depth, at = depth + len(opening[0]), opening.end()
            elif (closing := _CLOSING.match(self._body, at)) is not None:
                closed = min(depth, len(closing[0]))
                depth, at = depth - closed, at + closed
                if depth == 0:
                    return at
            else:
                raise _Broken
            if (passed := _INSIDE.match(self._body, at)) is not None:
                at = passed.end()
