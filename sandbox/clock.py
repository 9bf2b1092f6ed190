"""The sandbox's own clock: real time plus an offset that tests move forward.

`created` stamps, the age of idempotency keys and the `Date` header all use this clock.
"""

import time
from email.utils import formatdate


class Clock:
    """Seconds since the epoch, `offset_s` ahead of the machine's clock."""

    def __init__(self, offset_s: int) -> None:
        self.offset_s = offset_s
        self._date_of = 0
        self._date = b""

    def now(self) -> int:
        """Whole seconds, as Stripe stamps objects."""
        return int(time.time() + self.offset_s)

    def exact(self) -> float:
        """Seconds with a fraction, for delays shorter than one second."""
        return time.time() + self.offset_s

    def date_header(self) -> bytes:
        """The `Date` header's value; formatted once per second because every answer carries it."""
        now = self.now()
        if now != self._date_of:
            self._date_of, self._date = now, formatdate(now, usegmt=True).encode()
        return self._date
