"""A producer as it should be: every order has a key, and whatever is unclear is asked again with the same key.

Where the database went back to what it knew earlier, it asks again for what it was told since: it repeats lost keys.

It runs in a thread of its own, so that the main thread can start and kill processes meanwhile. What it was told (201)
is the promise that everything else is held against.
"""

import asyncio
import copy
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from tests.chaos.stories import wanted

AT_ONCE = 8
CALL_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
UNCLEAR = (429, 503)


@dataclass(frozen=True, slots=True)
class Heard:
    """A clear answer, and when it was asked for and told, of the monotonic clock."""

    status: int
    body: Any
    asked_at: float
    told_at: float


@dataclass
class Told:
    """What a producer was told of one key. ids: in sequence, each once; more than one only where it was forgotten.

    asked_at, told_at: when the last of them was asked for and told, of the monotonic clock.
    """

    number: int
    ids: list[str]
    asked_at: float
    told_at: float


@dataclass
class Producer:
    """Places the orders `first` … `first + count - 1` at one of `urls`, each until it is accepted.

    accepted: key → what was told. faults: what no producer may ever see.
    """

    urls: Sequence[str]
    api_key: str
    seed: int
    count: int
    first: int = 0
    at_once: int = AT_ONCE
    pause_s: float = 0.0  # between the orders of a stream, so that a storm has time to pass over them
    sent_twice: float = 0.0  # this share of the requests, half of them while the first is still on its way
    accepted: dict[str, Told] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unclear: Counter[str] = field(default_factory=Counter)  # how often each request that has no clear answer was sent

    def __post_init__(self) -> None:
        self._forgotten: list[tuple[float, float]] = []
        self._begin(range(self.first, self.first + self.count))

    def start(self) -> Self:
        """Begin, and return at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Begin no more orders; those begun are still asked for until they are accepted."""
        self._stop.set()

    def forgotten(self, since: float, until: float) -> list[int]:
        """The database knows nothing that was committed between these moments; the numbers told of meanwhile."""
        self._forgotten.append((since, until))
        return [told.number for told in list(self.accepted.values()) if told.told_at >= since]

    def repeat(self, numbers: Iterable[int]) -> Self:
        """Another thread of the same producer, which asks for these again."""
        return self._another(numbers).start()

    @property
    def is_done(self) -> bool:
        """Whether every order was accepted."""
        return not self._thread.is_alive()

    @property
    def has_placed(self) -> bool:
        """The same; whoever asks for more later may not be done yet."""
        return self.is_done

    def may_be_forgotten(self, told: Told | Heard) -> bool:
        """Whether what was told may have been committed between two moments that the database knows nothing of."""
        return any(told.told_at >= since and told.asked_at <= until for since, until in self._forgotten)

    def key(self, number: int) -> str:
        """The key of the order with this number."""
        return f"order-{number}"

    def body(self, number: int) -> Mapping[str, Any]:
        """The order with this number."""
        return wanted(number)

    def _begin(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._chance = random.Random(f"producer:{self.seed}:{self._numbers[:1]}")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._produce()), daemon=True)
        self._stop = threading.Event()

    def _another(self, numbers: Iterable[int]) -> Self:
        """What was told to one is known to both."""
        another = copy.copy(self)
        another.pause_s = another.sent_twice = 0.0
        another._begin(numbers)
        return another

    async def _produce(self) -> None:
        numbers = iter(self._numbers)
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(CALL_S)) as session:
            await asyncio.gather(*(self._stream(session, numbers) for _ in range(self.at_once)))

    async def _stream(self, session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            if self._stop.is_set():
                return
            await self._handle(session, number)
            if self.pause_s:
                await asyncio.sleep(self.pause_s * self._chance.uniform(0.5, 1.5))

    async def _handle(self, session: aiohttp.ClientSession, number: int) -> None:
        """All that is wanted of one number."""
        await self._place(session, number)

    async def _place(self, session: aiohttp.ClientSession, number: int) -> None:
        key = self.key(number)
        for heard in await self._maybe_twice(session, "/v1/orders", self.body(number), key):
            if heard.status == 201:
                self._note(key, Told(number, [heard.body["id"]], heard.asked_at, heard.told_at))
            else:
                self.faults.append(f"{key}: {heard.status} {heard.body}")

    async def _maybe_twice(
        self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any], key: str
    ) -> list[Heard]:
        """The answers to one request, or to two of the same: one after the other, or both at the same moment."""
        if self._chance.random() >= self.sent_twice:
            return [await self._clear(session, path, body, key)]
        self.counts["duplicates"] += 1
        if self._chance.random() < 0.5:
            return [await self._clear(session, path, body, key), await self._clear(session, path, body, key)]
        return list(await asyncio.gather(*(self._clear(session, path, body, key) for _ in range(2))))

    async def _clear(
        self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any] | None = None, key: str = ""
    ) -> Heard:
        """Ask until the answer is clear, with growing pauses and jitter. Without a body: GET."""
        pause_s = FIRST_PAUSE_S
        while (heard := await self._ask(session, path, body, key)) is None:
            self.counts["repeats"] += 1
            self.unclear[f"{path} {key}"] += 1
            await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.5))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        self.unclear.pop(f"{path} {key}", None)
        return heard

    def _door(self, path: str) -> str:
        """The address of the API process that is asked; another one each time."""
        del path
        return self._chance.choice(self.urls)

    async def _ask(
        self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any] | None, key: str
    ) -> Heard | None:
        method, more = ("GET", {}) if body is None else ("POST", {"Idempotency-Key": key})
        url, asked_at = self._door(path) + path, time.monotonic()
        self.counts["requests"] += 1
        try:
            async with session.request(method, url, json=body, headers=more) as answer:
                told = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            self.counts["no answer"] += 1
            return None
        self.counts[f"status {answer.status}"] += 1
        if answer.status in UNCLEAR:
            return None
        return Heard(answer.status, told, asked_at, time.monotonic())

    def _note(self, key: str, now: Told) -> None:
        before = self.accepted.setdefault(key, now)
        if before is now:
            return
        if now.ids[0] != before.ids[-1] and not (self.may_be_forgotten(before) or self.may_be_forgotten(now)):
            self.faults.append(f"{key}: one key, two orders: {before.ids} and {now.ids[0]}")
        now.ids[:0] = [i for i in before.ids if i != now.ids[0]]
        self.accepted[key] = now
