"""A producer as it should be: every order has a key, and whatever is unclear is asked again with the same key.

Where the database went back to what it knew earlier, it asks again for what it was told since: it repeats lost keys.

It runs in a thread of its own, so that the main thread can start and kill processes meanwhile. What it was told (201)
is the promise that everything else is held against.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

CURRENCIES = ("usd", "eur", "jpy", "kwd")
CARD, DECLINED = "pm_card_visa", "pm_card_chargeDeclined"
AT_ONCE = 8
CALL_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


def wanted(number: int) -> dict[str, Any]:
    """The order with this number: amounts differ, so that a mix-up cannot hide; one in twelve is declined."""
    card = DECLINED if number % 12 == 7 else CARD
    return {"amount": 1_000 + 10 * number, "currency": CURRENCIES[number % len(CURRENCIES)], "payment_method": card}


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

    def __post_init__(self) -> None:
        self._chance = random.Random(f"producer:{self.seed}:{self.first}")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._produce()), daemon=True)
        self._stop = threading.Event()
        self._numbers: Sequence[int] = range(self.first, self.first + self.count)
        self._forgotten: list[tuple[float, float]] = []

    def start(self) -> "Producer":
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

    def repeat(self, numbers: Sequence[int]) -> "Producer":
        """Another thread of the same producer, which asks for these again."""
        again = Producer(self.urls, self.api_key, self.seed, 0, first=-len(numbers), at_once=self.at_once)
        again.accepted, again.faults, again.counts = self.accepted, self.faults, self.counts
        again._forgotten = self._forgotten
        again._numbers = numbers
        return again.start()

    @property
    def is_done(self) -> bool:
        """Whether every order was accepted."""
        return not self._thread.is_alive()

    async def _produce(self) -> None:
        numbers = iter(self._numbers)
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(CALL_S)) as session:
            await asyncio.gather(*(self._stream(session, numbers) for _ in range(self.at_once)))

    async def _stream(self, session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            if self._stop.is_set():
                return
            if self._chance.random() >= self.sent_twice:
                await self._place(session, number)
            elif self._chance.random() < 0.5:
                self.counts["duplicates"] += 1
                await self._place(session, number)
                await self._place(session, number)
            else:
                self.counts["duplicates"] += 1
                await asyncio.gather(self._place(session, number), self._place(session, number))
            if self.pause_s:
                await asyncio.sleep(self.pause_s * self._chance.uniform(0.5, 1.5))

    async def _place(self, session: aiohttp.ClientSession, number: int) -> None:
        """Ask until the answer is clear, with growing pauses and jitter."""
        pause_s = FIRST_PAUSE_S
        while not await self._ask(session, number):
            self.counts["repeats"] += 1
            await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.5))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> bool:
        key = f"order-{number}"
        url, asked_at = self._chance.choice(self.urls) + "/v1/orders", time.monotonic()
        self.counts["requests"] += 1
        try:
            async with session.post(url, json=wanted(number), headers={"Idempotency-Key": key}) as answer:
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            self.counts["no answer"] += 1
            return False
        self.counts[f"status {answer.status}"] += 1
        if answer.status in (429, 503):
            return False
        if answer.status == 201:
            self._note(key, Told(number, [body["id"]], asked_at, time.monotonic()))
        else:
            self.faults.append(f"{key}: {answer.status} {body}")
        return True

    def _note(self, key: str, now: Told) -> None:
        before = self.accepted.setdefault(key, now)
        if before is now:
            return
        if now.ids[0] != before.ids[-1] and not (self._may_be_forgotten(before) or self._may_be_forgotten(now)):
            self.faults.append(f"{key}: one key, two orders: {before.ids} and {now.ids[0]}")
        now.ids[:0] = [i for i in before.ids if i != now.ids[0]]
        self.accepted[key] = now

    def _may_be_forgotten(self, told: Told) -> bool:
        """Whether what was told may have been committed between two moments that the database knows nothing of."""
        return any(told.told_at >= since and told.asked_at <= until for since, until in self._forgotten)
