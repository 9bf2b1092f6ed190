"""Where a page of a long list begins: a moment and a name behind which it lies, as a value of an address."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from service.foundation.errors import BadRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)


def write(moment: datetime, name: UUID | str) -> str:
    """The place of a row in a list that is in the order of a moment and a name."""
    return f"{(moment - _EPOCH) // timedelta(microseconds=1)}.{name}"


def read_text(cursor: str) -> tuple[datetime, str]:
    """The place that `write` wrote; the very beginning where it is empty. Raises BadRequest."""
    if not cursor:
        return _FIRST, ""
    microseconds, _, name = cursor.partition(".")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), name
    except (ValueError, OverflowError) as error:
        raise _nowhere() from error


def read(cursor: str) -> tuple[datetime, UUID]:
    """The same, where the names are ids."""
    moment, name = read_text(cursor)
    try:
        return moment, UUID(name) if name else UUID(int=0)
    except ValueError as error:
        raise _nowhere() from error


def _nowhere() -> BadRequest:
    return BadRequest("This page begins nowhere in the list. Go back to its first page.", code="query-invalid")
