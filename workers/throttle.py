"""The breaker: stops all sends of the fleet while Stripe refuses them.

One key in Redis tells the fleet why; where Redis is away, each process uses its own memory. No order fails because of
the breaker.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.effects import Refusal
from service.foundation import log
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Standstill

_LOOK_S = 0.1  # seconds between two looks in Redis: so long this process may send after another opened the breaker
_TRIAL_KEY = "eo:trial"
_NOTHING_IS_SENT = "nothing is sent until Stripe answers a probe; no order fails by it"
_SHOWN = 6  # the key in Redis expires after so many intervals between two probes


@dataclass(frozen=True, slots=True)
class Admission:
    """How many rows may be sent now; where 0, ask again in `wait_s`. `trial`: this send tests a half-open breaker."""

    rows: int
    wait_s: float = 0.0
    trial: bool = False


class Breaker:
    """Open: no charge is sent; deliveries go back to the outbox uncounted. It starts open: nothing is sent to a Stripe
    that has not yet been identified (R27). A probe, a call that charges nobody, closes it; where Stripe has refused a
    send, the probe only half-opens it, and the first send that goes through closes it (R33).
    """

    def __init__(self, redis: Redis, settings: Settings, probe: Callable[[], Awaitable[str | None]]) -> None:
        self._redis = redis
        self._settings = settings
        self._probe = probe
        self._open: Standstill | None = Standstill("not yet identified", refused=False)
        self._said = False  # whether the log says that it is open
        self._half_open = False
        self._trying = False
        self._trial_until = 0.0
        self._probe_at = 0.0
        self._refusals: tuple[str, int] = ("", 0)
        self._refused_orders: set[UUID] = set()
        self._form_disproved = False  # a send succeeded after another was refused for its form
        self._asking = asyncio.Lock()
        self._look_at = 0.0

    @property
    def reason(self) -> str | None:
        """The reason why it is open; None when it is closed."""
        return self._open.reason if self._open else None

    @asynccontextmanager
    async def admission(self, wanted: int) -> AsyncIterator[Admission]:
        """Yield how many of the `wanted` rows may be sent within this context."""
        admitted = await self._admit(wanted)
        try:
            yield admitted
        finally:
            if admitted.trial:
                self._trying = False

    async def identify(self) -> None:
        """Ask Stripe who it is, where the breaker is open and the next probe is due. It starts open."""
        async with self._asking:
            if self._open is not None and time.monotonic() >= self._probe_at:
                await self._ask()

    async def record(self, order_id: UUID, refusal: Refusal | None, *, sent_through: bool = False) -> None:
        """Count an answer: a refusal, or a send that succeeded."""
        if sent_through:
            self._refusals = ("", 0)
            self._refused_orders.clear()
            if self._half_open:
                self._form_disproved = True
                await self._close()
        elif refusal is None:
            self._refusals = ("", 0)
        elif self._open is not None and not self._half_open:
            return  # this call began before the breaker opened
        elif self._half_open or self._is_enough(order_id, refusal):
            await self._shut(Standstill(refusal.reason, refused=True))

    async def trip(self, reason: str) -> None:
        """Open the breaker for a reason that a later probe can find gone."""
        if self._open is None or self._half_open:
            await self._shut(Standstill(reason, refused=self._half_open))

    def _is_enough(self, order_id: UUID, refusal: Refusal) -> bool:
        """Whether this refusal opens the breaker.

        One refusal of the request's form is enough, because all orders have that form, until a send has succeeded.
        """
        if refusal.about == "form" and not self._form_disproved:
            return True
        if refusal.about != "key":
            self._refused_orders.add(order_id)
            return len(self._refused_orders) >= self._settings.breaker_after
        word, count = self._refusals
        self._refusals = (refusal.reason, count + 1 if word == refusal.reason else 1)
        return self._refusals[1] >= self._settings.breaker_after

    async def _admit(self, wanted: int) -> Admission:
        if self._open is None and not await self._fleet_is_shut():
            return Admission(wanted)
        async with self._asking:
            if self._open is not None and time.monotonic() >= self._probe_at:
                await self._ask()
            if self._open is None:
                return Admission(wanted)
            if self._half_open and await self._may_try():
                self._trying = True
                return Admission(1, trial=True)
        # While a half-open breaker is tested, the wait is a quarter: the test may soon close it.
        longest = self._settings.breaker_s / (4 if self._half_open else 1)
        return Admission(0, wait_s=max(0.1, min(longest, self._probe_at - time.monotonic())))

    async def _ask(self) -> None:
        refusal = await self._probe()
        if refusal is not None:
            await self._shut(Standstill(refusal, refused=self._open is not None and self._open.refused))
        elif (refused := await self._refused_send()) is not None:
            self._open, self._half_open = refused, True
            self._wait()
            await standstill.renew(self._redis, refused, for_s=_SHOWN * self._settings.breaker_s)
        else:
            await self._close()

    async def _refused_send(self) -> Standstill | None:
        """The refusal of a send, of this or another process, after which no send has succeeded; None without one."""
        if self._open is not None and self._open.refused:
            return self._open
        try:
            found = await standstill.read(self._redis)
        except (RedisError, OSError):
            return None
        return found if found is not None and found.refused else None

    async def _may_try(self) -> bool:
        """Whether this process may test now: one process of the fleet at a time, one row, for `breaker_s` seconds."""
        now = time.monotonic()
        if self._trying and now < self._trial_until:
            return False
        if now >= self._trial_until:
            try:
                mine = await self._redis.set(_TRIAL_KEY, "1", nx=True, px=int(self._settings.breaker_s * 1000))
            except (RedisError, OSError):
                mine = True
            if not mine:
                return False
            self._trial_until = now + self._settings.breaker_s
        return True

    async def _shut(self, why: Standstill) -> None:
        """Open the breaker, or keep it open, for this process and the fleet; logs the opening once."""
        if self._said:
            log.event(Event.BREAKER_STAYS_OPEN, reason=why.reason)
        else:
            log.event(Event.BREAKER_OPEN, reason=why.reason, means=_NOTHING_IS_SENT)
        self._open, self._said, self._half_open, self._form_disproved = why, True, False, False
        self._refusals = ("", 0)
        self._refused_orders.clear()
        self._wait()
        await standstill.announce(self._redis, why, for_s=_SHOWN * self._settings.breaker_s)

    async def _close(self) -> None:
        log.event(Event.BREAKER_CLOSED)
        self._open, self._said, self._half_open = None, False, False
        self._trial_until = 0.0
        await standstill.withdraw(self._redis)
        try:
            await self._redis.delete(_TRIAL_KEY)
        except (RedisError, OSError):
            return

    async def _fleet_is_shut(self) -> bool:
        """Whether another process has opened it; asks Redis at most every 100 ms."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        try:
            found = await standstill.read(self._redis)
        except (RedisError, OSError):
            return False
        if found is None:
            return False
        self._open = found
        self._wait()
        return True

    def _wait(self) -> None:
        self._probe_at = time.monotonic() + self._settings.breaker_s
