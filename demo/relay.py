"""The service's own relay over a broker that hands out some messages twice. `python -m demo.relay`."""

import os
import random
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dramatiq.brokers.redis import RedisBroker

from demo.events import DemoEvent
from demo.worker import counting_repeated_entries
from service.foundation.log import event
from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

TWICE, SEED = "EO_DEMO_TWICE_FILE", "EO_DEMO_SEED"
_LATER_S = 0.6  # a copy comes at once or a little later: while the first is being worked on, or when all is over


def doubling_broker(settings: Settings) -> RedisBroker:
    """The real broker, as at-least-once allows it to be. Each event of a message is a candidate of its own."""
    broker = make_broker(settings)
    enqueue, chance = broker.enqueue, random.Random(os.environ.get(SEED, "0"))
    twice = Path(os.environ[TWICE])  # a file, so that the share can change without a new process

    def enqueue_perhaps_twice(message: Any, *, delay: int | None = None) -> Any:
        share = float(twice.read_text())
        sent = enqueue(message, delay=delay)
        again = [i for i in message.args[0] if chance.random() < share]
        if again:
            event(DemoEvent.DOUBLED, count=len(again))
            copy = threading.Timer(chance.uniform(0, _LATER_S), enqueue, [charge_message(again)])
            copy.daemon = True
            copy.start()
        return sent

    broker.enqueue = enqueue_perhaps_twice  # type: ignore[method-assign]
    return broker


def main() -> None:
    """The relay itself, unchanged."""
    with patch("workers.relay.make_broker", doubling_broker), counting_repeated_entries():
        relay.main()


if __name__ == "__main__":
    main()
