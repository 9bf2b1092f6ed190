"""The log: one JSON object per line on stderr, with time, level, process, event, and the fields of the event.

No body, key or header is logged. A value that lines are matched by is logged as a hash (`hashed`). An error is logged
by its type and where it was raised, because the text of a database error carries the values of its statement.
"""

import logging
import sys
import traceback
from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from service.foundation.addresses.postgres import masked
from service.foundation.events import HELP, Event
from service.foundation.wording import in_words, kind_of

_LOGGER = logging.getLogger("eo")
_FRAMES = 5  # innermost frames of a traceback that are kept

COUNTED: Counter[tuple[str, str]] = Counter()  # lines of level warning and above, by event and level

Field = str | int | float | bool | None | list[str]


def configure(name: str, *, level: int = logging.INFO) -> None:
    """Send this process's log to stderr as JSON lines that bear `name` (api, relay, worker, …)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(name))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOGGER.setLevel(level)


def event(name: StrEnum, level: str | None = None, /, **fields: Field) -> None:
    """Log that `name` happened, at its own level or at `level`. Fields are small and harmless: counts, our ids, names.

    `name` is an Event; programs beside the service have enumerations of their own, which are of level info.
    """
    known = HELP.get(name) if isinstance(name, Event) else None
    word = level or (known.level if known else "info")
    number = logging.getLevelNamesMapping()[word.upper()]
    if number >= logging.WARNING:
        COUNTED[name, word] += 1
    if _LOGGER.isEnabledFor(number):
        _LOGGER.log(number, name, extra={"fields": fields})


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


class _Lines(logging.Formatter):
    """Formats our records with their fields, records of libraries with their text, and errors as `of_error` does."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, Field] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage(),
        }
        if record.name != _LOGGER.name:
            line |= {"logger": record.name, "event": masked(record.getMessage())}  # a driver may quote an address
        if record.exc_info and record.exc_info[1]:
            line |= of_error(record.exc_info[1])
        return msgspec.json.encode(line | getattr(record, "fields", {})).decode()
