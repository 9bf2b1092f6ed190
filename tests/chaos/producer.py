"""A producer as it should be: every order has a key, and whatever is unclear is asked again with the same key.

It runs in a thread of its own, so that the main thread can start and kill processes meanwhile. What it was told (201)
is the promise that everything else is held against.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
class Producer:
    """Places the orders `first` … `first + count - 1` at one of `urls`, each until it is accepted.

    accepted: key → (number, order id), as of the first 201. faults: what no producer may ever see.
    """

    urls: Sequence[str]
    api_key: str
    seed: int
    count: int
    first: int = 0
    at_once: int = AT_ONCE
    pause_s: float = 0.0  # between the orders of a stream, so that a storm has time to pass over them
    sent_twice: float = 0.0  # this share of the requests, half of them while the first is still on its way
    accepted: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"producer:{self.seed}:{self.first}")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._produce()), daemon=True)
        self._stop = threading.Event()

    def start(self) -> "Producer":
        """Begin, and return at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Begin no more orders; those begun are still asked for until they are accepted."""
        self._stop.set()

    @property
    def is_done(self) -> bool:
        """Whether every order was accepted."""
        return not self._thread.is_alive()

    async def _produce(self) -> None:
        numbers = iter(range(self.first, self.first + self.count))
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
        url = self._chance.choice(self.urls) + "/v1/orders"
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
        self._note(key, number, answer.status, body)
        return True

    def _note(self, key: str, number: int, status: int, body: Mapping[str, Any]) -> None:
        if status != 201:
            self.faults.append(f"{key}: {status} {body}")
            return
        first = self.accepted.setdefault(key, (number, body["id"]))
        if first[1] != body["id"]:
            self.faults.append(f"{key}: one key, two orders: {first[1]} and {body['id']}")
