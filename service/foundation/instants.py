"""Instants that people write, as UTC, and the ids that begin with one. Pure."""

from datetime import UTC, datetime
from uuid import UUID


def instant(text: str, *, zone_required: bool = False) -> datetime:
    """An ISO 8601 instant in UTC; without a zone it is taken as UTC unless one is required. Raises ValueError."""
    moment = datetime.fromisoformat(text.upper())  # RFC 3339, 5.6: t and z may be lower case
    if moment.tzinfo is None:
        if zone_required:
            raise ValueError("an instant without its offset from UTC")
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # in UTC it is in the year 0 or 10000, which datetime does not have
        raise ValueError("an instant that is outside of UTC's years") from error


def first_id_of(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond."""
    return UUID(int=max(0, int(moment.timestamp() * 1_000)) << 80)
