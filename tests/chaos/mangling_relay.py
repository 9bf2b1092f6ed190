"""The relay over a broker at its worst: messages doubled, held back behind later ones, or lost. Counted in its log."""

import os
import random
from enum import StrEnum
from typing import Any

from dramatiq import Message

from service.foundation.log import event
from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

SHARES = "EO_TEST_MANGLED"  # of the messages: doubled, held back, lost
HELD_MAX = 3


class Mangled(StrEnum):
    """What was done to a message, for the storm's report."""

    HELD = "mangled.held"
    LOST = "mangled.lost"
    SENT = "mangled.sent"
    TWICE = "mangled.twice"


class ManglingBroker:
    """The real broker, whose `enqueue` is not to be trusted."""

    def __init__(self, settings: Settings) -> None:
        self._broker = make_broker(settings)
        self._chance = random.Random(os.environ.get("EO_TEST_SEED", "0"))
        self._twice, self._held_back, self._lost = map(float, os.environ.get(SHARES, "0.10 0.05 0.02").split())
        self._held: list[Message[Any]] = []

    def enqueue(self, message: Message[Any]) -> None:
        roll = self._chance.random()
        if roll < self._held_back and len(self._held) < HELD_MAX:
            event(Mangled.HELD)
            self._held.append(message)
            return
        if roll > 1 - self._lost:
            event(Mangled.LOST)
            return
        event(Mangled.SENT)
        self._broker.enqueue(message)
        if self._held_back < roll < self._held_back + self._twice:
            event(Mangled.TWICE)
            self._broker.enqueue(charge_message(message.args[0]))
        while self._held and self._chance.random() < 0.5:
            self._broker.enqueue(self._held.pop(self._chance.randrange(len(self._held))))


if __name__ == "__main__":
    relay.main(broker=ManglingBroker)
