"""Places the orders: evenly over a time, or as fast as they are accepted; each is repeated until it is accepted.

It runs in its own thread, so that the main thread can start and kill processes meanwhile.
"""

import asyncio
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from uuid_utils import uuid7

from demo import naive

if TYPE_CHECKING:
    import dramatiq

_AT_ONCE = 16
_CALL_S = 10.0
_PAUSE_S, _PAUSE_MAX_S = 0.05, 1.0
_LATER_S = 0.6


def amount(number: int) -> int:
    """The amount of an order; amounts differ, so that a mix-up of orders shows."""
    return 1_000 + 10 * (number % 1_000)


class Feeder(ABC):
    """Places `count` orders. `accepted`: order id → amount in minor units, of all that were said to be taken."""

    def __init__(self, *, first: int, count: int, over_s: float, seed: int, requests_twice: float) -> None:
        self.accepted: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.count = count
        self._numbers = range(first, first + count)
        self._every_s = over_s / count
        self._seed = seed
        self._requests_twice = requests_twice
        self._began = 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Start the thread and return at once."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether every order was accepted."""
        return not self._thread.is_alive()

    def chance(self, what: str, number: int) -> random.Random:
        """A random number from 0 to 1 for one order and one question, the same for both contenders."""
        return random.Random(f"{self._seed}:{what}:{number}")

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def ask(self, number: int) -> bool:
        """Place one order; False where the answer is unclear and the order must be placed again."""

    async def _run(self) -> None:
        await self.open()
        self._began = time.monotonic()
        numbers = iter(self._numbers)
        try:
            await asyncio.gather(*(self._stream(numbers) for _ in range(_AT_ONCE)))
        finally:
            await self.close()

    async def _stream(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            due = self._began + (number - self._numbers.start) * self._every_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._place(number)
            if self.chance("request", number).random() < self._requests_twice:
                self.counts["requests_twice"] += 1
                await self._place(number)

    async def _place(self, number: int) -> None:
        pause_s = _PAUSE_S
        while not await self.ask(number):
            self.counts["asked_again"] += 1
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_MAX_S, pause_s * 2)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the service's API."""

    path: str
    key: str
    body: dict[str, Any]


class HttpFeeder(Feeder):
    """Places orders over the service's API, and repeats unclear ones under the same Idempotency-Key."""

    order_field = "id"  # where the answer names the order

    def __init__(self, url: str, api_key: str, **options: float) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._url = url
        self._api_key = api_key

    async def open(self) -> None:
        """Connect."""
        headers = {"Authorization": f"Bearer {self._api_key}"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(_CALL_S))

    async def close(self) -> None:
        """Disconnect."""
        await self._session.close()

    async def ask(self, number: int) -> bool:
        """Place one order; True for the answer 201, False for any other and for none."""
        request = self.request(number)
        try:
            headers = {"Idempotency-Key": request.key}
            async with self._session.post(self._url + request.path, json=request.body, headers=headers) as answer:
                made = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
        if answer.status != 201:
            return False
        self.counts["door"] += answer.headers.get("Idempotent-Replayed") == "true"
        self.accepted[made[self.order_field]] = request.body["amount"]
        return True

    def request(self, number: int) -> Request:
        """The request for one number, the same each time."""
        body = {"amount": amount(number), "currency": "usd", "payment_method": "pm_card_visa"}
        return Request("/v1/orders", f"order-{number}", body)


class QueueFeeder(Feeder):
    """Stores the order and publishes a message, as the naive shop does. A repeated request is a second message."""

    actor = naive.CHARGE

    def __init__(self, database: str, redis: str, *, messages_twice: float, **options: float) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._database = database
        self._broker = naive.make_broker(redis)
        self._messages_twice = messages_twice
        self._ids: dict[int, str] = {}
        self._copies: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect."""
        self._pool = await asyncpg.create_pool(self._database, min_size=0, max_size=4)

    async def close(self) -> None:
        """Publish the copies that are still to come, then disconnect."""
        if self._copies:
            await asyncio.wait(self._copies)
        await self._pool.close()

    async def ask(self, number: int) -> bool:
        """Place one order; True once the broker has accepted its message."""
        order_id, minor = self.order(number)
        is_repeat = order_id in self.accepted
        message = naive.message(self.actor, order_id, minor)
        if not await self.store(order_id, minor) or not await self._enqueue(message):
            return False
        chance = self.chance("message", number)
        if not is_repeat and chance.random() < self._messages_twice:
            self.counts["messages_twice"] += 1
            copy = asyncio.create_task(self._enqueue_later(message, chance.uniform(0, _LATER_S)))
            self._copies.add(copy)
            copy.add_done_callback(self._copies.discard)
        self.accepted[order_id] = minor
        return True

    def order(self, number: int) -> tuple[str, int]:
        """The order of one number, and its amount in minor units."""
        return self._ids.setdefault(number, str(uuid7())), amount(number)

    async def store(self, order_id: str, minor: int) -> bool:
        """Store the order where it is not stored yet; False where that failed."""
        statement = "INSERT INTO orders (id, amount) VALUES ($1::text::uuid, $2) ON CONFLICT DO NOTHING"
        try:
            await self._pool.execute(statement, order_id, minor)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _enqueue(self, message: "dramatiq.Message[None]") -> bool:
        try:
            await asyncio.to_thread(self._broker.enqueue, message)
        except Exception:  # noqa: BLE001  the broker is away: the caller asks again
            return False
        return True

    async def _enqueue_later(self, message: "dramatiq.Message[None]", after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._enqueue(message)
