"""A producer that goes on after the order: it captures, cancels, pays again and refunds, as its stories tell.

Every request has a key and is repeated until its answer is clear, as those for orders. What was told of each is kept:
a 2xx is a promise, a 409 a refusal that its order's state must explain.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from tests.chaos.producer import Heard, Producer
from tests.chaos.stories import STORY, Act, Step, opening, story_of

ROUTES = {"capture": "capture", "cancel": "cancel", "pay": "pay", "refund": "refunds"}
PATIENCE_S = 30.0  # how long an order's next state is waited for; then the story breaks off
LOOK_S = (0.1, 1.0)  # between two looks at an order: the first, the longest
ENDED = frozenset({"paid", "failed", "canceled"})


@dataclass
class Asked:
    """What was asked of an order under one key, and every clear answer, in the order of their arrival.

    since: when it was asked for first, of the monotonic clock.
    """

    number: int
    step: Step
    since: float = field(default_factory=time.monotonic)
    answers: list[Heard] = field(default_factory=list)

    @property
    def promised(self) -> Heard | None:
        """The last answer that promised it."""
        return next((heard for heard in reversed(self.answers) if heard.status < 300), None)


@dataclass
class Customer(Producer):
    """Its orders have stories. acts: how many of them are told at once; the others by `go_on`.

    doors: the addresses for single operations (`charge` for orders); the others are asked at one of `urls`.
    stripe: where it refunds past us, and with which key.
    """

    acts: int = 99
    doors: Mapping[str, str] = field(default_factory=dict)
    stripe: tuple[str, str] = ("", "")
    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    shown: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))  # by key: the order, canceled

    def __post_init__(self) -> None:
        super().__post_init__()
        self._repeats = False
        self._placed = threading.Event()

    def key(self, number: int) -> str:
        """The key of the order with this number."""
        return f"{STORY}{number}"

    def body(self, number: int) -> Mapping[str, Any]:
        """How its story begins."""
        return opening(number)

    def place(self, numbers: Iterable[int]) -> Self:
        """Another thread, which places these orders."""
        return self._another(numbers).start()

    def go_on(self, numbers: Iterable[int], doors: Mapping[str, str] | None = None) -> Self:
        """Another thread, which tells the acts of orders that were only placed."""
        another = self._another(numbers)
        another.acts, another.doors = 99, doors or {}
        return another.start()

    def repeat(self, numbers: Iterable[int]) -> Self:
        """Another thread, which asks for these again, and for all that was asked of them."""
        another = self._another(numbers)
        another._repeats, another._placed = True, threading.Event()
        return another.start()

    @property
    def has_placed(self) -> bool:
        """Whether a repeating thread has placed all orders anew."""
        return self._placed.is_set() or self.is_done

    def forgotten(self, since: float, until: float) -> list[int]:
        """The numbers told of meanwhile, of their orders or of what was asked of these."""
        numbers = super().forgotten(since, until)
        of_later = [a.number for a in list(self.asked.values()) if any(h.told_at >= since for h in list(a.answers))]
        return list(dict.fromkeys([*numbers, *of_later]))

    def asked_of(self, number: int) -> list[Asked]:
        """All that was asked of the order with this number."""
        return [asked for asked in self.asked.values() if asked.number == number]

    def is_forgotten(self, asked: Asked) -> bool:
        """Whether the database may have taken this once and forgotten it, answered or not."""
        first = Heard(0, None, asked.since, asked.answers[0].told_at if asked.answers else time.monotonic())
        return any(self.may_be_forgotten(heard) for heard in [first, *asked.answers])

    async def _produce(self) -> None:
        await super()._produce()
        if self._repeats:
            self._placed.set()
            await super()._produce()

    async def _handle(self, session: aiohttp.ClientSession, number: int) -> None:
        if self._repeats and not self._placed.is_set():
            await self._place(session, number)
        elif self._repeats:
            for asked in [a for a in list(self.asked.values()) if a.number == number and a.answers]:
                await self._step(session, number, asked.step)
        else:
            if self.key(number) not in self.accepted:
                await self._place(session, number)
            if self.acts:
                await self._tell(session, number)

    async def _tell(self, session: aiohttp.ClientSession, number: int) -> None:
        for act in story_of(number).acts:
            if not await self._comes_to(session, number, act):
                self.counts["stories broken off"] += 1
                return
            await asyncio.gather(*(self._step(session, number, step) for step in act.steps))

    async def _comes_to(self, session: aiohttp.ClientSession, number: int, act: Act) -> bool:
        """Wait until the order is in one of the states of the act. False where it cannot come to it, or is too late."""
        until, pause_s = time.monotonic() + PATIENCE_S, LOOK_S[0]
        while time.monotonic() < until:
            order = await self._look(session, number)
            if order["status"] in act.when:
                return True
            if order["status"] in ENDED:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(LOOK_S[1], pause_s * 1.5)
        return False

    async def _look(self, session: aiohttp.ClientSession, number: int) -> dict[str, Any]:
        """The order as it is shown now; asked for anew where the database has forgotten it."""
        while (heard := await self._clear(session, f"/v1/orders/{self._id(number)}")).status != 200:
            await self._place(session, number)
        self._note_canceled(number, heard, heard.body)
        return dict(heard.body)

    async def _step(self, session: aiohttp.ClientSession, number: int, step: Step) -> None:
        if step.operation == "past us":
            await self._refund_past_us(session, number, step)
            return
        key = self.key(number) + step.tail
        self.counts[step.operation] += 1
        asked = self.asked.setdefault((step.operation, key), Asked(number, step))
        for heard in await self._of_order(session, number, step, key):
            if heard.status not in (200, 201, 202, 409):
                self.faults.append(f"{step.operation} {key}: {heard.status} {heard.body}")
            self._compare(asked, heard)
            asked.answers.append(heard)
            if heard.status in (200, 202):
                self._note_canceled(number, heard, heard.body)

    async def _of_order(self, session: aiohttp.ClientSession, number: int, step: Step, key: str) -> list[Heard]:
        """The answers about the order, which is placed again where the database has forgotten it."""
        while True:
            path = f"/v1/orders/{self._id(number)}/{ROUTES[step.operation]}"
            heard = await self._maybe_twice(session, path, step.body(self.body(number)), key)
            if known := [one for one in heard if one.status != 404]:
                return known
            await self._place(session, number)

    async def _refund_past_us(self, session: aiohttp.ClientSession, number: int, step: Step) -> None:
        """At Stripe, as by its dashboard: nothing of ours is in it but the payment."""
        order = await self._look(session, number)
        address, secret = self.stripe
        if self._repeats or not address or not order["payment_intent"]:
            return
        form = {"payment_intent": order["payment_intent"], "amount": str(step.body(order)["amount"])}
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": f"by-hand-{number}"}
        try:
            async with session.post(f"{address}/v1/refunds", data=form, headers=headers) as answer:
                await answer.read()
                self.counts[f"refunds past us, {answer.status}"] += 1
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.counts["refunds past us, no answer"] += 1

    def _id(self, number: int) -> str:
        return self.accepted[self.key(number)].ids[-1]

    def _door(self, path: str) -> str:
        last = path.rpartition("/")[2]
        by_route = {"orders": "charge", "refunds": "refund"}
        return self.doors.get(by_route.get(last, last)) or super()._door(path)

    def _compare(self, asked: Asked, now: Heard) -> None:
        """Once it was promised, its key gets the same answer for ever."""
        before = asked.promised
        if before is None or before.told_at > now.asked_at:
            return
        same = before.status == now.status and before.body.get("id") == now.body.get("id")
        if not same and not (self.may_be_forgotten(before) or self.may_be_forgotten(now)):
            what = f"{asked.step.operation} {self.key(asked.number)}{asked.step.tail}"
            self.faults.append(f"{what}: answered {before.status}, then {now.status} {now.body}")

    def _note_canceled(self, number: int, heard: Heard, order: Mapping[str, Any]) -> None:
        if order["status"] == "canceled":
            self.shown[self.key(number)].append(heard)
