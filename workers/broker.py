"""The broker: a hint that work is due. Everything in it may be lost at any moment; PostgreSQL brings it back.

Dramatiq's Redis consumer polls. Here an idle one blocks on the queue itself: a message starts a millisecond after it
was published, and an idle worker costs nothing.
"""

import threading
import time
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO, Middleware, Retries, ShutdownNotifications, TimeLimit

from service.foundation import redis_clients
from service.foundation.away import REDIS
from service.foundation.broker_keys import CHARGE_QUEUE, NAMESPACE, QUEUE_KEY
from service.foundation.settings import Settings

CHARGE_ACTOR = "charge_orders"

# A worker that died is noticed by the next one's maintenance; its events come due in the outbox anyway.
_HEARTBEAT_TIMEOUT_MS = 15_000
_MAINTENANCE_CHANCE = 100_000  # of a million commands
_DEAD_MESSAGE_TTL_MS = 3_600_000  # dead letters live in PostgreSQL
_TIME_LIMIT_MS = 600_000  # a batch that waits for rate tokens may take minutes; a stuck one must still end

_POLL_MS = 500  # how often an idle thread of a worker looks whether it should stop

_BLOCK_S = 0.5  # also the heartbeat's rhythm
_FULL_S = 0.002  # until a worker whose hands are full looks again


class _PromptConsumer(_RedisConsumer):
    """Dramatiq's consumer, waiting for the queue to fill where it would sleep."""

    def __init__(self, broker: Any, queue_name: str, prefetch: int, timeout: int) -> None:
        del timeout  # how long the stock consumer sleeps when idle; this one never does
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]

    def __next__(self) -> Any:
        try:
            if not self.message_cache:
                self._wait()
            found = super().__next__()  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError) as error:  # the stock one leaves a silent Redis to chance
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        if self.queue_name == CHARGE_QUEUE:
            self.broker.looked_at = time.monotonic()
            REDIS.succeeded("consumer")
        return found

    def _wait(self) -> None:
        if self.queue_name != CHARGE_QUEUE:
            time.sleep(_BLOCK_S)  # delayed messages: nobody sends any
        elif self.outstanding_message_count >= self.prefetch:
            time.sleep(_FULL_S)
        else:
            # From the head of the list to its head: nothing moves, but it waits until there is something.
            self.broker.client.blmove(QUEUE_KEY, QUEUE_KEY, timeout=_BLOCK_S, src="LEFT", dest="LEFT")


class PromptBroker(RedisBroker):
    """Dramatiq's broker with the consumer of above."""

    looked_at = time.monotonic()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.stripe_was_asked = threading.Event()  # once, whatever it answered

    def last_looked(self) -> float:
        """When a consumer of this process last looked for messages and was answered, by time.monotonic."""
        return self.looked_at

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        """What consumes from this broker."""
        return _PromptConsumer


def make_broker(settings: Settings, *extra: Middleware) -> PromptBroker:
    """A broker with an explicit list of middleware. Does not connect: Redis may be away when a process starts."""
    broker = PromptBroker(
        client=redis_clients.client(settings.redis_url),
        namespace=NAMESPACE,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=_MAINTENANCE_CHANCE,
        dead_message_ttl=_DEAD_MESSAGE_TTL_MS,
        middleware=[
            AsyncIO(),  # one event loop per process: a message is a set of concurrent calls
            TimeLimit(time_limit=_TIME_LIMIT_MS),  # the last resort; every call has its own, much shorter timeout
            ShutdownNotifications(notify_shutdown=False),  # a running batch ends by itself within its lease
            Retries(max_retries=0),  # kept at zero: without it a failed message would count as done
            # Left out: AgeLimit (age is the outbox's matter), Callbacks and Pipelines (nothing follows a charge).
            *extra,
        ],
    )
    broker.declare_queue(CHARGE_QUEUE)
    return broker


def start_worker(broker: dramatiq.Broker, settings: Settings) -> dramatiq.Worker:
    """Begin to take messages, as Dramatiq's own command does it."""
    broker.emit_after("process_boot")  # from here on the time limit looks at its clock
    worker = dramatiq.Worker(broker, worker_threads=settings.worker_messages, worker_timeout=_POLL_MS)
    worker.start()
    return worker


def charge_message(outbox_ids: list[str]) -> "dramatiq.Message[None]":
    """A message for the charge actor. It carries ids of outbox rows and nothing else (R9)."""
    return dramatiq.Message(queue_name=CHARGE_QUEUE, actor_name=CHARGE_ACTOR, args=(outbox_ids,), kwargs={}, options={})
