"""The relay over a broker at its worst: messages doubled, held back behind later ones, or lost. Counted in its log."""

import os
import random
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware

from service.foundation.log import event
from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

if TYPE_CHECKING:
    import dramatiq

TWICE, HELD, LOST = 0.10, 0.05, 0.02
HELD_MAX = 3


class Mangled(StrEnum):
    """What was done to a message, for the storm's report."""

    HELD = "mangled.held"
    LOST = "mangled.lost"
    TWICE = "mangled.twice"


def mangling_broker(settings: Settings, *extra: Middleware) -> RedisBroker:
    """The real broker, whose `enqueue` is not to be trusted."""
    broker = make_broker(settings, *extra)
    enqueue, chance = broker.enqueue, random.Random(os.environ.get("EO_TEST_SEED", "0"))
    held: list[dramatiq.Message[Any]] = []

    def mangle(message: "dramatiq.Message[Any]", *, delay: int | None = None) -> Any:
        roll = chance.random()
        if roll < HELD and len(held) < HELD_MAX:
            event(Mangled.HELD)
            held.append(message)
            return message
        if roll > 1 - LOST:
            event(Mangled.LOST)
            return message
        sent = enqueue(message, delay=delay)
        if HELD < roll < HELD + TWICE:
            event(Mangled.TWICE)
            enqueue(charge_message(message.args[0]))
        while held and chance.random() < 0.5:
            enqueue(held.pop(chance.randrange(len(held))))
        return sent

    broker.enqueue = mangle  # type: ignore[method-assign]
    return broker


if __name__ == "__main__":
    with patch("workers.relay.make_broker", mangling_broker):
        relay.main()
