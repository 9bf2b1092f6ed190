"""A batch cut into its items by their bytes, so that each is judged by itself. Pure.

Only what belongs to the batch is read here: `{"orders": [ … ]}` and the commas between the items. An item may be
anything whose brackets and quotes close: what is wrong inside it (a byte that is no UTF-8, a number of 5,000 digits,
100,000 brackets, NaN) is its own affair, and is found by whoever decodes it.
"""

import re
from collections.abc import Iterator

_STEPS_MAX = 250_000  # brackets that are counted one by one: a tenth of a second; no order has one of them
_SPACE = b" \t\n\r"
_S = rb"[ \t\n\r]*+"
_HEAD = re.compile(rb'%s\{%s"orders"%s:%s\[' % (_S, _S, _S, _S))
_TAIL = re.compile(rb"\]%s\}%s" % (_S, _S))

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TEXT = rb'(?:[^"{}\[\]]++|%s)' % _STRING
_FLAT = rb"[\[{]%s*+[\]}]" % _TEXT
_NESTED = rb"[\[{](?:%s|%s)*+[\]}]" % (_TEXT, _FLAT)
# An order and its metadata are passed at one go, here between the commas of the batch and there inside of brackets.
_BETWEEN_COMMAS = re.compile(rb'(?:[^"{}\[\],]++|%s|%s)++' % (_STRING, _NESTED), re.DOTALL)
_INSIDE = re.compile(rb"(?:%s|%s)++" % (_TEXT, _NESTED), re.DOTALL)
_OPENING, _CLOSING = re.compile(rb"[\[{]++"), re.compile(rb"[\]}]++")


class _Broken(Exception):
    """Brackets, quotes or commas that do not make an array."""


def items(body: bytes) -> list[bytes] | None:
    """The items of a batch, as they were sent; None where the batch is not `{"orders": [ … ]}`."""
    head = _HEAD.match(body)
    try:
        return None if head is None else list(_Cut(body).items(head.end()))
    except _Broken:
        return None


class _Cut:
    """One pass over a body."""

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
        """The comma or bracket behind the item that begins at `at`."""
        while True:
            if (passed := _BETWEEN_COMMAS.match(self._body, at)) is not None:
                at = passed.end()
            if self._body[at : at + 1] not in (b"{", b"["):
                return at
            at = self._end_of_brackets(at)

    def _end_of_brackets(self, at: int) -> int:
        """Behind the bracket that closes the one at `at`. It counts instead of calling itself: nothing is too deep."""
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
