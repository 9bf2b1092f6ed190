"""The time that a reconciliation looks at. Pure.

`since` and `until` select payments; those younger than `cut_off` may still change by themselves. All three are fixed
before either side is read, so that both sides are asked about the same time (R29).
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

DEFAULT_SPAN = timedelta(hours=48)  # the window where none is given: today and the whole day before


@dataclass(frozen=True, slots=True)
class Span:
    """The window as it was asked for; an end that is None depends on the moment of the run."""

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where the window is empty."""
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(f"the window ends at {iso(self.until)}, before it begins at {iso(self.since)}")
        if self.since is None and self.until is not None:
            _before(self.until)


@dataclass(frozen=True, slots=True)
class Window:
    """[since, until) on Stripe's `created`, in UTC. What is younger than `cut_off` is in flight, no discrepancy."""

    since: datetime
    until: datetime
    cut_off: datetime
    now: datetime

    @property
    def created_gte(self) -> int:
        """First Unix second in the window. `created` has whole seconds, so rounding up changes no payment's place."""
        return math.ceil(self.since.timestamp())

    @property
    def created_lt(self) -> int:
        """First Unix second after the window."""
        return math.ceil(self.until.timestamp())


def fix(span: Span, *, now: datetime, grace_s: int) -> Window:
    """The window of a run at `now`; what is younger than `grace_s` seconds is in flight.

    It ends now at the latest, because a run cannot call a future moment clean. Raises ValueError for an empty window.
    """
    latest = now.replace(microsecond=0) + timedelta(seconds=1)
    until = min(span.until or latest, latest)
    since = span.since or _before(until)
    if since >= latest:
        raise ValueError(f"the window begins at {iso(since)}, and it is {iso(now)} only")
    Span(since, until)
    return Window(since, until, now - timedelta(seconds=grace_s), now)


def day(text: str) -> Span:
    """The UTC day `YYYY-MM-DD`. Raises ValueError."""
    start = datetime.combine(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC), time(), UTC)
    try:
        return Span(start, start + timedelta(days=1))
    except OverflowError as error:
        raise ValueError("a day that has no end") from error


def _before(until: datetime) -> datetime:
    try:
        return until - DEFAULT_SPAN
    except OverflowError as error:
        raise ValueError(f"the window ends at {iso(until)}, 48 hours before which there was no year") from error


def iso(moment: datetime) -> str:
    """The instant in UTC to the second, as reports show it."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"  # %Y would write 999, not 0999
