"""The relay over a broker that delivers some events twice: `python -m benchmarks.doubling`.

Single events are repeated, not whole messages: a copy carries events of several first messages, so that it finds some
of them in flight and some done. The share lies in Redis, so that one process serves a whole comparison.
"""

import random
from typing import TYPE_CHECKING, Any

from workers import relay
from workers.broker import charge_message, make_broker

if TYPE_CHECKING:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    from service.foundation.settings import Settings

SHARE_KEY = "bench:share"


def doubling_broker(settings: "Settings") -> "RedisBroker":
    """The real broker; a share of all events is sent again, a full message of them at a time."""
    broker = make_broker(settings)
    enqueue, chance = broker.enqueue, random.Random(7)
    again: list[str] = []

    def enqueue_and_repeat(message: "dramatiq.Message[Any]", *, delay: int | None = None) -> Any:
        sent = enqueue(message, delay=delay)
        share = float(broker.client.get(SHARE_KEY) or 0)
        again.extend(i for i in message.args[0] if chance.random() < share)
        if len(again) >= settings.relay_message_events:
            enqueue(charge_message(again[:]))
            again.clear()
        return sent

    broker.enqueue = enqueue_and_repeat  # type: ignore[method-assign]
    return broker


if __name__ == "__main__":
    relay.make_broker = doubling_broker  # type: ignore[attr-defined, assignment]
    relay.main()
