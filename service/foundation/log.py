"""The log: one JSON object per line on stderr, with time, level, process, event, and the fields of the event.

No body, key or header is logged. A value that lines are matched by is logged as a hash (`hashed`). An error is logged
by its type and where it was raised, because the text of a database error carries the values of its statement.

Each line goes through processors, which are functions of structlog's form: `allowed` leaves out every field that
`log_fields` does not know, `harmless` hides what looks like a secret or a card number, and the last makes the text.
structlog itself is imported where stderr is a terminal, and renders lines for people there.
"""

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from service.foundation.addresses.postgres import masked
from service.foundation.events import HELP, Event
from service.foundation.log_fields import FIELDS
from service.foundation.text.secrets import scrubbed
from service.foundation.wording import in_words, kind_of

_LOGGER = logging.getLogger("eo")
_SHORTEST_CARD = 10**12  # a card number has 13 digits or more
_FRAMES = 5  # innermost frames of a traceback that are kept

COUNTED: Counter[tuple[str, str]] = Counter()  # lines of level warning and above, by event and level

Field = str | int | float | bool | None | list[str]
Line = MutableMapping[str, Any]
Processor = Callable[[Any, str, Line], Mapping[str, Any] | str | bytes | bytearray | tuple[Any, ...]]  # structlog's

_LEVELS = logging.getLevelNamesMapping()


def configure(name: str, *, level: int = logging.INFO) -> None:
    """Send this process's log to stderr, as lines that bear `name` (api, relay, worker, …)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(name, renderer()))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOGGER.setLevel(level)


def event(name: StrEnum, level: str | None = None, /, **fields: Field) -> None:
    """Log that `name` happened, at its own level or at `level`. Fields are small and harmless: counts, our ids, names.

    `name` is an Event; programs beside the service have enumerations of their own, which are of level info.
    """
    known = HELP.get(name) if isinstance(name, Event) else None
    word = level or (known.level if known else "info")
    number = _LEVELS[word.upper()]
    if number >= logging.WARNING:
        COUNTED[name, word] += 1
    if _LOGGER.isEnabledFor(number):
        # Made here, because `log` would look for the line of code that called it, and no line of the log shows that.
        _LOGGER.handle(_LOGGER.makeRecord(_LOGGER.name, number, "", 0, name, (), None, extra={"fields": fields}))


def of_error(error: BaseException) -> dict[str, Field]:
    """Fields that describe an error without its text: type, plain words, SQLSTATE, and the innermost frames."""
    cause = getattr(error, "orig", None) or error
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    fields: dict[str, Field] = {
        "error": kind_of(error),
        "why": in_words(error),
        "at": [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames],
    }
    state = getattr(cause, "sqlstate", None)
    return fields | {"sqlstate": state} if state else fields


def hashed(value: str) -> str:
    """A short stand-in for something that must not be logged, the same for the same value."""
    return sha256(value.encode()).hexdigest()[:12]


def allowed(_logger: object, _level: str, line: Line) -> Line:
    """The line with the fields that FIELDS knows; the names of the others stand in it as `dropped`."""
    if line.keys() <= FIELDS.keys():
        return line
    kept: Line = {name: value for name, value in line.items() if name in FIELDS}
    return {**kept, "dropped": sorted(line.keys() - FIELDS.keys())}


def harmless(_logger: object, _level: str, line: Line) -> Line:
    """The line without secrets and card numbers in its values."""
    return {name: _hidden(value) for name, value in line.items()}


def _hidden(value: Field) -> Field:
    if type(value) is str:
        return scrubbed(value)
    if type(value) is list:
        return [scrubbed(one) for one in value]
    is_long = type(value) is int and abs(value) >= _SHORTEST_CARD
    return scrubbed(str(value)) if is_long and scrubbed(str(value)) != str(value) else value


def as_json(_logger: object, _level: str, line: Line) -> str:
    """One line of JSON."""
    return _ENCODER.encode(line).decode()


def renderer() -> Processor:
    """What makes the text of a line: JSON, or structlog's colours where stderr is a terminal."""
    if not sys.stderr.isatty():
        return as_json
    from structlog.dev import ConsoleRenderer  # noqa: PLC0415  0.3 s and 7 MB, which only a terminal pays

    return ConsoleRenderer(timestamp_key="ts")


_ENCODER = msgspec.json.Encoder()


class _Lines(logging.Formatter):
    """Formats our records with their fields, records of libraries with their text, and errors as `of_error` does."""

    def __init__(self, process: str, render: Processor = as_json) -> None:
        super().__init__()
        self._process = process
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: Any = getattr(record, "fields", {})
        if record.name != _LOGGER.name:
            # A driver may quote an address.
            line = {"event": masked(record.getMessage()), "logger": record.name, **line}
        if record.exc_info and record.exc_info[1]:
            line = line | of_error(record.exc_info[1])
        level = record.levelname.lower()
        line = harmless(_LOGGER, level, allowed(_LOGGER, level, line))
        stamped: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "process": self._process,
            "event": record.msg,
        }
        return str(self._render(_LOGGER, level, {**stamped, **line}))
