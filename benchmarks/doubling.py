"""The relay over a broker that delivers some events twice: `python -m benchmarks.doubling`.

Single events are repeated, not whole messages: a copy carries events of several first messages, so that it finds some
of them in flight and some done. The share lies in Redis, so that one process serves a whole comparison.
"""

import random
from typing import Any

from dramatiq import Message

from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

SHARE_KEY = "bench:share"


class DoublingBroker:
    """The real broker; a share of all events is sent again, a full message of them at a time."""

    def __init__(self, settings: Settings) -> None:
        self._broker = make_broker(settings)
        self._full = settings.relay_message_events
        self._chance = random.Random(7)
        self._again: list[str] = []

    def enqueue(self, message: Message[Any]) -> None:
        """Send the message, and a second message once enough of the events to repeat are collected."""
        self._broker.enqueue(message)
        share = float(self._broker.client.get(SHARE_KEY) or 0)
        self._again.extend(i for i in message.args[0] if self._chance.random() < share)
        if len(self._again) >= self._full:
            self._broker.enqueue(charge_message(self._again[:]))
            self._again.clear()


if __name__ == "__main__":
    relay.main(broker=DoublingBroker)
