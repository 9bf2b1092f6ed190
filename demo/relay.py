"""The service's own relay over a broker that delivers some messages twice. `python -m demo.relay`."""

import os
import random
import threading
from pathlib import Path
from typing import Any

from dramatiq import Message

from demo.events import DemoEvent
from demo.worker import counting_repeated_entries
from service.foundation.log import event
from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

TWICE, SEED = "EO_DEMO_TWICE_FILE", "EO_DEMO_SEED"
_LATER_S = 0.6  # seconds until the copy: at once, while the first is being worked on, or after it is done


class DoublingBroker:
    """The real broker, which delivers a share of the events twice, as at-least-once allows."""

    def __init__(self, settings: Settings) -> None:
        self._broker = make_broker(settings)
        self._chance = random.Random(os.environ.get(SEED, "0"))
        self._twice = Path(os.environ[TWICE])  # a file, so that the share can change without a new process

    def enqueue(self, message: Message[Any]) -> None:
        """Send the message, and a copy with the share of its events that is delivered twice."""
        share = float(self._twice.read_text())
        self._broker.enqueue(message)
        again = [i for i in message.args[0] if self._chance.random() < share]
        if again:
            event(DemoEvent.DOUBLED, count=len(again))
            later_s = self._chance.uniform(0, _LATER_S)
            copy = threading.Timer(later_s, self._broker.enqueue, [charge_message(again)])
            copy.daemon = True
            copy.start()


if __name__ == "__main__":
    with counting_repeated_entries():
        relay.main(broker=DoublingBroker)
