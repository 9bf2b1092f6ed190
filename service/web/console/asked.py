"""What the address of a page asks for: its query parameters, each checked."""

from datetime import date, datetime
from uuid import UUID

from service.foundation.errors import BadRequest
from service.foundation.instants import instant
from service.web.operation import AnyRequest

_LONGEST = 300


def asked(request: AnyRequest, name: str) -> str:
    """A value of the address, empty where it has none. Raises BadRequest where it cannot be one."""
    value = request.query_params.get(name, "")
    if len(value) > _LONGEST:
        raise _refused(name)
    return value


def asked_id(request: AnyRequest, name: str) -> UUID | None:
    """The id that the address names, if it does."""
    value = asked(request, name)
    try:
        return UUID(value) if value else None
    except ValueError as error:
        raise _refused(name) from error


def asked_number(request: AnyRequest, name: str) -> int:
    """The number that the address names; 0 where it names none."""
    value = asked(request, name) or "0"
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise _refused(name)
    return int(value)


def asked_day(request: AnyRequest, name: str) -> date | None:
    """The day that the address names, if it does."""
    value = asked(request, name)
    try:
        return date.fromisoformat(value) if value else None
    except ValueError as error:
        raise _refused(name) from error


def asked_moment(request: AnyRequest, name: str) -> datetime | None:
    """The moment that the address names, if it does; in UTC where it does not say otherwise."""
    value = asked(request, name)
    try:
        return instant(value) if value else None
    except ValueError as error:
        raise _refused(name) from error


def _refused(name: str) -> BadRequest:
    return BadRequest(f"The {name} in the address is none that this page can show.", code="query-invalid")
