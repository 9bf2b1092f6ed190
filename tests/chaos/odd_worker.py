"""A worker with one oddity, told by EO_TEST_ODDITY. Everything else is the real thing.

stop:POINT      the first time it gets there (a CrashPoint), it stops itself by SIGSTOP: a process that is neither dead
                nor alive, as under a debugger, a hypervisor's pause, or a swap storm
poison:AMOUNT   an order of this amount kills it, every time
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from unittest.mock import patch

from service.foundation.crash import CrashPoint, crash_point
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from workers import main


def stopping_at(point: str) -> Callable[..., None]:
    """`crash_point`, and once a stop."""
    left = [point]

    def stop_once(reached: CrashPoint, in_hand: Iterable[object] = ()) -> None:
        if left == [reached.value]:
            left.clear()
            # To this very thread: a signal to the process may go to another one first, and this one would run on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        crash_point(reached, in_hand)

    return stop_once


def killed_by(amount: int) -> Callable[..., Any]:
    """`StripeGateway.create_payment_intent` of a world in which one amount is deadly."""
    create = StripeGateway.create_payment_intent

    async def die_or_create(self: StripeGateway, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        if request["amount"] == amount:
            os.kill(os.getpid(), signal.SIGKILL)
        return await create(self, request, key=key, version=version)

    return die_or_create


if __name__ == "__main__":
    name, _, told = os.environ["EO_TEST_ODDITY"].partition(":")
    if name == "stop":
        oddity = patch("workers.charge.crash_point", stopping_at(told))
    else:
        oddity = patch.object(StripeGateway, "create_payment_intent", killed_by(int(told)))
    with oddity:
        main.main()
