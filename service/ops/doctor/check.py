"""What a check says, and how a question becomes one."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.foundation.postgres.driver import in_words

CLOCKS_DIFFER_S = 5.0  # leases, and which of Stripe's lists are read, are reckoned with clocks that agree


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result; `next_step` says what to do where it is not `ok`."""

    name: str
    ok: bool
    said: str
    next_step: str = ""


def judged(name: str, good: str, wrong: str, next_step: str) -> Check:
    """A check that says `wrong` and the next step, or `good` where nothing is wrong."""
    return Check(name, ok=not wrong, said=wrong or good, next_step=next_step if wrong else "")


async def asked(name: str, question: Callable[[], Awaitable[object]], good: str, next_step: str = "") -> Check:
    """A check that is wrong where the question raises."""
    try:
        await question()
    except Exception as error:  # noqa: BLE001  a doctor reports whatever is found
        return Check(name, ok=False, said=in_words(error), next_step=next_step)
    return Check(name, ok=True, said=good)


async def clock(whose: str, tell: Callable[[], Awaitable[float | None]], step_s: float = 0.0) -> Check:
    """Whether a server's clock and this machine's agree. It tells Unix seconds, in steps of `step_s`.

    What the answer took on its way is not counted as a difference.
    """
    name = f"clock of {whose}"
    began = time.time()
    try:
        told = await tell()
    except Exception as error:  # noqa: BLE001  as above
        return Check(name, ok=True, said=f"not known: {in_words(error)}")
    ended = time.time()
    if told is None:
        return Check(name, ok=True, said="not known: it tells no time")
    apart = max(began - (told + step_s), told - ended, 0.0)
    wrong = f"is {apart:.0f} s away from this machine's" if apart > CLOCKS_DIFFER_S else ""
    return judged(name, f"agrees with this machine's within {CLOCKS_DIFFER_S:g} s", wrong, _CLOCK)


_CLOCK = "Does NTP run on both? `timedatectl` tells; `docs/howto/runbooks.md` has what waits meanwhile."
