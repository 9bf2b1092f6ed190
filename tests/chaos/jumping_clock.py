"""`python -m tests.chaos.jumping_clock MODULE`: run a part whose clocks are off by EO_TEST_CLOCK_OFF_S.

The wall clock is off all the time, as on a machine without NTP. The clocks that count time jump every few readings, as
after a suspend: only forward, which is all they can do.
"""

import datetime as dt
import os
import runpy
import sys
import time

OFF_S = float(os.environ["EO_TEST_CLOCK_OFF_S"])
JUMP_EVERY = 40  # readings of CLOCK_BOOTTIME: a fifth of the messages or so meets a jump between open and send

_time, _time_ns, _clock_gettime = time.time, time.time_ns, time.clock_gettime
_slept = [0.0, 0]


class _Datetime(dt.datetime):
    """`now` and its like by the clock that is off."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "_Datetime":
        return cls.fromtimestamp(time.time(), tz)


def _boottime(clock: int) -> float:
    if clock == time.CLOCK_BOOTTIME:
        _slept[1] += 1
        if _slept[1] % JUMP_EVERY == 0:
            _slept[0] += abs(OFF_S)
        return _clock_gettime(clock) + _slept[0]
    return _clock_gettime(clock) + OFF_S


def main() -> None:
    """Bend the clocks, then be the part."""
    time.time = lambda: _time() + OFF_S
    time.time_ns = lambda: _time_ns() + int(OFF_S * 1e9)
    time.clock_gettime = _boottime
    dt.datetime = _Datetime  # type: ignore[misc]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
