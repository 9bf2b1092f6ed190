"""Named points at which a process kills itself where EO_CRASH_AT says so, for tests of crashes.

`EO_CRASH_AT=worker.after_open:3` kills the process with SIGKILL the third time it reaches this point: no handler runs
and no buffer is flushed. `EO_CRASH_AT=worker.after_open@refund:3` counts only the times when it has a refund in hand.
The last line of its log says what it had in hand. Where EO_CRASH_AT is not set, which is always so outside tests, a
point costs one comparison.
"""

import os
import signal
from collections.abc import Iterable
from contextvars import ContextVar
from enum import StrEnum


class CrashPoint(StrEnum):
    """The moments at which a crash leaves different traces. A name says the process and the moment."""

    API_BEFORE_COMMIT = "api.before_commit"
    API_AFTER_COMMIT = "api.after_commit"  # stored, and the producer never hears of it
    RELAY_AFTER_CLAIM = "relay.after_claim"  # hidden, and never published
    RELAY_AFTER_PUBLISH = "relay.after_publish"
    WORKER_BEFORE_OPEN = "worker.before_open"
    WORKER_AFTER_OPEN = "worker.after_open"  # "may have been executed" is written, nothing was sent
    WORKER_REPLY_UNREAD = "worker.reply_unread"  # Stripe has executed, the worker does not know
    WORKER_AFTER_REPLY = "worker.after_reply"  # the worker knows, the books do not
    WORKER_AFTER_SETTLE = "worker.after_settle"  # on the books, and the message comes again
    NOTICE_AFTER_CLAIM = "notice.after_claim"  # the try is counted, nothing was sent
    NOTICE_AFTER_SEND = "notice.after_send"  # its receiver has it, and the database does not know
    RECOVERY_BEFORE_ADOPT = "recovery.before_adopt"  # in a relay or a worker: some orders are back, others are not
    RECOVERY_AFTER_ADOPT = "recovery.after_adopt"  # the order is back, and what became of its charge is not


CALLING: ContextVar[str] = ContextVar("CALLING", default="")  # the effect that this task asks Stripe for
_WHERE, _, _NTH = os.environ.get("EO_CRASH_AT", "").partition(":")
_ARMED, _, _WITH = _WHERE.partition("@")
_left = int(_NTH or 1)


def armed(point: CrashPoint) -> bool:
    """Whether this process is to die at `point`."""
    return point.value == _ARMED


def crash_point(point: CrashPoint, in_hand: Iterable[object] = ()) -> None:
    """Kill this process if EO_CRASH_AT names `point` and it has been reached as often as it says.

    `in_hand`: what the process is busy with, the kinds of effects where it knows them, else the ids of outbox rows.
    """
    global _left  # noqa: PLW0603  a countdown to the end of the process
    if _ARMED and armed(point):
        held = [str(one) for one in in_hand]
        if _WITH and _WITH not in held:
            return
        _left -= 1
        if _left <= 0:
            os.write(2, f"dies at {point} with {' '.join(held)}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
