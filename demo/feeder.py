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

import aiohttp
import asyncpg
from uuid_utils import uuid7

from demo import naive

_AT_ONCE = 16
_CALL_S = 10.0
_PAUSE_S, _PAUSE_MAX_S = 0.05, 1.0
_LATER_S = 0.6


def amount(number: int) -> int:
    """The amount of an order; amounts differ, so that a mix-up of orders shows."""
    return 1_000 + 10 * (number % 1_000)


class Feeder(ABC):
    """Places `count` orders. `accepted`: order id → amount, of all that were said to be taken."""

    def __init__(self, *, first: int, count: int, over_s: float, seed: int, requests_twice: float) -> None:
        self.accepted: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
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


class HttpFeeder(Feeder):
    """Places orders over the service's API, and repeats unclear ones under the same Idempotency-Key."""

    def __init__(self, url: str, api_key: str, **options: float) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._url = url + "/v1/orders"
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
        body = {"amount": amount(number), "currency": "usd", "payment_method": "pm_card_visa"}
        try:
            headers = {"Idempotency-Key": f"order-{number}"}
            async with self._session.post(self._url, json=body, headers=headers) as answer:
                order = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
        if answer.status != 201:
            return False
        self.counts["door"] += answer.headers.get("Idempotent-Replayed") == "true"
        self.accepted[order["id"]] = amount(number)
        return True


class QueueFeeder(Feeder):
    """Stores the order and publishes a message, as the naive shop does. A repeated request is a second message."""

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
        is_repeat = number in self._ids and self._ids[number] in self.accepted
        order_id = self._ids.setdefault(number, str(uuid7()))
        if not await self._store(order_id, number) or not await self._enqueue(number):
            return False
        chance = self.chance("message", number)
        if not is_repeat and chance.random() < self._messages_twice:
            self.counts["messages_twice"] += 1
            copy = asyncio.create_task(self._enqueue_later(number, chance.uniform(0, _LATER_S)))
            self._copies.add(copy)
            copy.add_done_callback(self._copies.discard)
        self.accepted[order_id] = amount(number)
        return True

    async def _store(self, order_id: str, number: int) -> bool:
        statement = "INSERT INTO orders (id, amount) VALUES ($1::text::uuid, $2) ON CONFLICT DO NOTHING"
        try:
            await self._pool.execute(statement, order_id, amount(number))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _enqueue(self, number: int) -> bool:
        try:
            await asyncio.to_thread(self._broker.enqueue, naive.message(self._ids[number], amount(number)))
        except Exception:  # noqa: BLE001  the broker is away: the caller asks again
            return False
        return True

    async def _enqueue_later(self, number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._enqueue(number)
