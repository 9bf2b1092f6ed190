"""Log lines about a server that is away: one when it goes, then few, and one when it is back.

Several parts of a process may need the same server, and one may fail where another succeeds: a full Redis still answers
reads. The server counts as back when no part that failed fails any more.
"""

import threading
from collections.abc import Callable
from time import monotonic

from service.foundation import log
from service.foundation.events import Event
from service.foundation.wording import in_words, kind_of

_AGAIN_S = (60.0, 600.0)  # the next line comes after a minute, later ones every ten minutes


class Away:
    """What is logged about one server. It may be used from several threads."""

    def __init__(self, away: Event, back: Event, clock: Callable[[], float] = monotonic) -> None:
        self._events = away, back
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._since = 0.0
        self._said_at = 0.0
        self._said = 0
        self._failures = 0

    def failed(self, who: str, error: BaseException) -> None:
        """Note that `who` could not use it."""
        with self._lock:
            now = self._clock()
            if not self._failing:
                self._since, self._said, self._failures = now, 0, 0
            self._failing.add(who)
            self._failures += 1
            if self._said and now - self._said_at < _AGAIN_S[min(self._said, len(_AGAIN_S)) - 1]:
                return
            self._said, self._said_at = self._said + 1, now
            away_s, failures = round(now - self._since), self._failures
        log.event(
            self._events[0],
            needed_by=who,
            why=in_words(error),
            error=kind_of(error),
            away_s=away_s,
            failures=failures,
        )

    def succeeded(self, who: str) -> None:
        """Note that `who` could use it."""
        if who not in self._failing:
            return
        with self._lock:
            self._failing.discard(who)
            if self._failing:
                return
            away_s, failures = round(self._clock() - self._since), self._failures
        log.event(self._events[1], away_s=away_s, failures=failures)


# One per process.
REDIS = Away(Event.REDIS_AWAY, Event.REDIS_BACK)
POSTGRES = Away(Event.POSTGRES_AWAY, Event.POSTGRES_BACK)
