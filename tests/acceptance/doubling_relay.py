"""The relay over a broker that hands out 15 % of all messages twice, as at-least-once allows. Counted in Redis."""

import random
from typing import Any
from unittest.mock import patch

from dramatiq.brokers.redis import RedisBroker

from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker

SHARE = 0.15
PUBLISHED, TWICE = "test:published", "test:published_twice"


def doubling_broker(settings: Settings, *extra: Any) -> RedisBroker:
    """The real broker; some messages are followed by a copy with an id of its own."""
    broker = make_broker(settings, *extra)
    enqueue, chance = broker.enqueue, random.Random(settings.port)

    def enqueue_perhaps_twice(message: Any, *, delay: int | None = None) -> Any:
        broker.client.incr(PUBLISHED)
        sent = enqueue(message, delay=delay)
        if chance.random() < SHARE:
            enqueue(charge_message(message.args[0]))
            broker.client.incr(TWICE)
        return sent

    broker.enqueue = enqueue_perhaps_twice  # type: ignore[method-assign]
    return broker


if __name__ == "__main__":
    with patch("workers.relay.make_broker", doubling_broker):
        relay.main()
