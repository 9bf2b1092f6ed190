"""Lines of the log that are written often: one per request, one per attempt.

They do not go through `logging`, which would cost a tenth of a request's CPU: a struct names what its lines carry, and
the lines of one turn of the event loop are encoded and written together.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from service.foundation import log


class LineWriter:
    """Writes lines of structs to stderr. Lives in one event loop."""

    def __init__(self) -> None:
        self._lines: list[msgspec.Struct] = []
        self._text = _text_of(log.renderer())

    def add(self, line: msgspec.Struct) -> None:
        """Write `line` when this turn of the event loop ends."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        sys.stderr.buffer.write(self._text(lines))
        sys.stderr.buffer.flush()


def now() -> str:
    """The time of a line."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text_of(render: log.Processor) -> Callable[[Sequence[msgspec.Struct]], bytes]:
    if render is log.as_json:
        return msgspec.json.Encoder().encode_lines
    return lambda lines: "".join(str(render(None, "info", _fields(line))) + "\n" for line in lines).encode()


def _fields(line: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(line)
    return fields
