"""The Dramatiq broker on Redis. Its messages say which outbox rows are due; those that are lost are published again.

Dramatiq's own consumer polls Redis. This one blocks on the queue while it is empty, so that a message starts about a
millisecond after it was published and an idle worker uses no CPU.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware, Retries, ShutdownNotifications, TimeLimit

from service.foundation import redis_clients
from service.foundation.away import REDIS
from service.foundation.broker_keys import CHARGE_QUEUE, NAMESPACE, QUEUE_KEY
from service.foundation.settings import Settings
from workers.traced import TracedMessages, options_of

CHARGE_ACTOR = "charge_orders"

# After so long without a worker's heartbeat another one requeues its messages; the outbox would publish them as well.
_HEARTBEAT_TIMEOUT_MS = 15_000
_MAINTENANCE_CHANCE = 100_000  # of one million commands so many also run Dramatiq's maintenance
_DEAD_MESSAGE_TTL_MS = 3_600_000  # dead messages may be deleted: parked outbox rows replace them
_TIME_LIMIT_MS = 600_000  # longer than a batch waits for rate tokens, so that only a stuck one is ended

_POLL_MS = 500  # an idle thread of a worker looks this often whether it should stop

_BLOCK_S = 0.5  # seconds that one call waits for a message; each call also renews Dramatiq's heartbeat
_FULL_S = 0.002  # seconds until a worker that holds `prefetch` messages looks again


class _PromptConsumer(_RedisConsumer):
    """Dramatiq's consumer, which waits in Redis for a message where the original sleeps."""

    def __init__(self, broker: Any, queue_name: str, prefetch: int, timeout: int) -> None:
        del timeout  # the time that the original sleeps when idle; this one does not sleep
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]

    def __next__(self) -> Any:
        try:
            if not self.message_cache:
                self._wait()
            found = super().__next__()  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError) as error:  # the original does not catch a timeout
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        if self.queue_name == CHARGE_QUEUE:
            self.broker.looked_at = time.monotonic()
            REDIS.succeeded("consumer")
        return found

    def _wait(self) -> None:
        if self.queue_name != CHARGE_QUEUE:
            time.sleep(_BLOCK_S)  # the queue of delayed messages, of which there are none
        elif self.outstanding_message_count >= self.prefetch:
            time.sleep(_FULL_S)
        else:
            # Moving the first message to the first place changes nothing, and blocks until there is a message.
            self.broker.client.blmove(QUEUE_KEY, QUEUE_KEY, timeout=_BLOCK_S, src="LEFT", dest="LEFT")


class PromptBroker(RedisBroker):
    """Dramatiq's broker with `_PromptConsumer`."""

    looked_at = time.monotonic()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.stripe_was_asked = threading.Event()  # set after the first question to Stripe, whatever the answer

    def last_looked(self) -> float:
        """The time.monotonic at which Redis last answered a consumer of this process."""
        return self.looked_at

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        """The class of the consumers that Dramatiq makes."""
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
            TimeLimit(time_limit=_TIME_LIMIT_MS),  # for a stuck message; every call has its own, shorter timeout
            ShutdownNotifications(notify_shutdown=False),  # a running batch ends by itself within its lease
            Retries(max_retries=0),  # no retries here; without this middleware a failed message would count as done
            CurrentMessage(),  # lines of the log name the message
            TracedMessages(),
            # Left out: AgeLimit (the outbox knows the age), Callbacks and Pipelines (no message follows a charge).
            *extra,
        ],
    )
    broker.declare_queue(CHARGE_QUEUE)
    return broker


def start_worker(broker: dramatiq.Broker, settings: Settings) -> dramatiq.Worker:
    """Start a Dramatiq worker on the broker, as Dramatiq's own command does; returns it."""
    broker.emit_after("process_boot")  # this starts the timer of TimeLimit
    worker = dramatiq.Worker(broker, worker_threads=settings.worker_messages, worker_timeout=_POLL_MS)
    worker.start()
    return worker


def charge_message(outbox_ids: list[str], promised: Sequence[str] = ()) -> "dramatiq.Message[None]":
    """A message for the charge actor. It carries ids of outbox rows and nothing else (R9).

    Where traces are on, its options say which trace each row belongs to.
    """
    return dramatiq.Message(
        queue_name=CHARGE_QUEUE,
        actor_name=CHARGE_ACTOR,
        args=(outbox_ids,),
        kwargs={},
        options=options_of(promised),
    )
