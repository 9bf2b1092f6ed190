"""The charge actor: opens effects, calls Stripe, classifies the answers, settles.

One message is a set of outbox ids. Its calls run concurrently, and each answer is settled when it arrives, so that a
slow call delays no other. An effect that is not final is published again by the outbox; the actor itself retries
nothing and returns normally. No transaction is open while Stripe is called.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from random import shuffle
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.charges import CHARGE
from service.duplicates import Guard, absorbed
from service.effects import (
    Effect,
    Opened,
    Outcome,
    Rules,
    Settlement,
    abandoned,
    give_up_alone,
    judge_send,
    open_effects,
    settle,
)
from service.foundation import metrics
from service.foundation.crash import CALLING, CrashPoint, crash_point
from service.foundation.settings import Settings
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from service.stripe_gateway.pacing import Bucket
from workers.attempts import Attempt, AttemptLog
from workers.cut_off import while_cut_off
from workers.effects import KINDS, kind_of, words_of
from workers.in_hand import InHand
from workers.lookups import LookUps
from workers.room import Room
from workers.throttle import Breaker
from workers.traced import processing
from workers.verifying import Verification

_VERIFICATION_AGAIN_S = 1.0
_OPEN_FOR_S = 5.0  # seconds during which opening is tried again; after that the outbox publishes the rows again


class ChargeWorker:
    """Works through messages: opens the effects of each, calls Stripe and settles."""

    def __init__(
        self, engine: AsyncEngine, gateway: StripeGateway, breaker: Breaker, bucket: Bucket, settings: Settings
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self.breaker = breaker
        self._bucket = bucket
        self._room = Room()
        self._in_hand = InHand(engine)
        self._attempts = AttemptLog()
        self._settings = settings
        self._rules = Rules.of(settings)
        self._lookups = LookUps(engine, gateway, settings)
        self._verification = Verification(engine, gateway, settings)

    async def charge(self, outbox_ids: Sequence[UUID]) -> None:
        """Work through the outbox rows of one message. After any error the outbox publishes those left again."""
        remaining = list(outbox_ids)
        while remaining:
            async with self.breaker.admission(len(remaining)) as admitted:
                if not admitted.rows:
                    shut = f"breaker open: {self.breaker.reason}"
                    await outbox.put_back(self._engine, remaining, after_s=admitted.wait_s, reason=shut)
                    return
                if admitted.trial:
                    shuffle(remaining)  # so that an order that Stripe refuses is not tried first each time
                # The rate token comes before the lease (R13), so that no lease runs out while waiting for a token.
                granted = await self._bucket.take(admitted.rows)
                if await self._charge_batch(remaining[:granted]):
                    remaining = remaining[granted:]
                    continue
            if reason := await self._verification.why_not_yet():
                await outbox.put_back(self._engine, remaining, after_s=_VERIFICATION_AGAIN_S, reason=reason)
                return

    async def _charge_batch(self, outbox_ids: Sequence[UUID]) -> bool:
        """Charge these rows. False where none was opened, because this life of the database is not verified (R31)."""
        async with self._room.shared():
            opened = await self._open_and_call(outbox_ids, alone=False)
        for suspect in opened.suspects:
            await self._bucket.take(1)
            async with self._room.alone():
                await self._open_and_call([suspect], alone=True)
        return opened.is_verified

    async def _open_and_call(self, outbox_ids: Sequence[UUID], *, alone: bool) -> Opened:
        await self._in_hand.make_excuses()
        crash_point(CrashPoint.WORKER_BEFORE_OPEN, outbox_ids)
        began, opened = await self._open(outbox_ids, alone=alone)
        crash_point(CrashPoint.WORKER_AFTER_OPEN, words_of(opened.effects))
        await self._bucket.give_back(
            len(outbox_ids) - sum(kind_of(e) is CHARGE and e.call == "send" for e in opened.effects)
        )
        deadline = began + self._settings.charge_lease_s - self._settings.stripe_timeout_s
        if opened.effects:
            async with self._in_hand.holding({e.outbox_id for e in opened.effects}):
                await self._call_and_settle(opened.effects, deadline)
        return opened

    async def _open(self, outbox_ids: Sequence[UUID], *, alone: bool) -> tuple[float, Opened]:
        """Open these rows; returns the time before the transaction, and what was opened.

        Where the answer to COMMIT was lost, the repeated transaction finds the rows open and absorbs them; the outbox
        publishes them again after their lease.
        """

        async def run() -> tuple[float, Opened]:
            return _boottime(), await open_effects(self._engine, outbox_ids, self._settings, KINDS, alone=alone)

        return await while_cut_off(run, for_s=_OPEN_FOR_S)

    async def excuse(self) -> None:
        """Uncount the opens of the effects in hand, because this process is being stopped from outside (R10)."""
        await self._in_hand.excuse()

    async def _call_and_settle(self, effects: Sequence[Effect], deadline: float) -> None:
        """Start all calls at once; settle the answers that have arrived, until all are settled."""
        arrived: asyncio.Queue[Settlement[Effect]] = asyncio.Queue()
        async with asyncio.TaskGroup() as calls:
            for effect in effects:
                if effect.call != "lookup":
                    calls.create_task(self._call(effect, deadline, arrived))
            if lookups := [e for e in effects if e.call == "lookup"]:
                calls.create_task(self._look_up(lookups, arrived))
            left = len(effects)
            while left:
                batch = [await arrived.get()]
                while not arrived.empty():
                    batch.append(arrived.get_nowait())
                left -= len(batch)
                await self._settle(batch)

    async def _settle(self, batch: list[Settlement[Effect]]) -> None:
        crash_point(CrashPoint.WORKER_AFTER_REPLY, words_of(s.effect for s in batch))
        changed: set[UUID] = set()
        for kind in dict.fromkeys(kind_of(s.effect) for s in batch):
            of_kind = [s for s in batch if kind_of(s.effect) is kind]
            # Settling twice changes nothing, so it is repeated; an answer that is not stored costs a second call.
            record = partial(settle, self._engine, kind, of_kind, self._settings)
            changed |= await while_cut_off(record, for_s=self._settings.charge_lease_s)
        crash_point(CrashPoint.WORKER_AFTER_SETTLE, words_of(s.effect for s in batch))
        self._attempts.note(batch, changed)

    async def _call(self, effect: Effect, deadline: float, arrived: "asyncio.Queue[Settlement[Effect]]") -> None:
        # The lease is checked immediately before the request, by a clock that runs while the machine sleeps (R14).
        if _boottime() > deadline:
            await arrived.put(Settlement(effect, abandoned(effect)))
            return
        CALLING.set(*words_of([effect]))
        began = time.perf_counter()
        with processing(effect) as trace:
            answer, outcome = await self._ask(effect)
        ms = round((time.perf_counter() - began) * 1000, 2)
        await self._watch(effect, answer, outcome)
        await arrived.put(Attempt(effect, self._after_refusal(effect, outcome), answer, ms, *trace))

    async def _ask(self, effect: Effect) -> tuple[Answer, Outcome]:
        kind = kind_of(effect)
        if effect.call != "send":
            return await kind.retrieve(self._gateway, effect)
        answer = await kind.send(self._gateway, effect)
        if answer.replayed:
            absorbed(Guard.STRIPE_KEY, effect.order_id)
        return answer, judge_send(kind, effect, answer)

    async def _watch(self, effect: Effect, answer: Answer, outcome: Outcome) -> None:
        """Tell the breaker what an answer says about all charges: a refusal (R20, R33), or clocks that differ (R28).

        A refused refund says nothing of them, unless our key is refused.
        """
        if answer.http_status is not None:
            is_charge, refusal = kind_of(effect) is CHARGE, outcome.refusal
            # A replayed answer was given to an earlier request, and says nothing about Stripe now.
            through = is_charge and effect.call == "send" and answer.http_status in (200, 402) and not answer.replayed
            about_us = refusal if is_charge or (refusal is not None and refusal.about == "key") else None
            await self.breaker.record(effect.order_id, about_us, sent_through=through)
        if answer.date is not None:
            difference = answer.date - effect.opened_at.timestamp()
            metrics.CLOCK_DIFFERENCE.set(difference)
            skew = abs(difference)
            if skew > self._settings.clock_skew_max_s + self._settings.charge_lease_s:
                await self.breaker.trip(f"clocks differ by {skew:.0f} s: the database's and Stripe's")

    def _after_refusal(self, effect: Effect, outcome: Outcome) -> Outcome:
        """While the breaker is open a refused effect waits for it; otherwise it may be parked for a human (R10)."""
        if self.breaker.reason is None:
            return give_up_alone(effect, outcome, self._rules)
        return replace(outcome, retry_s=outcome.retry_s or 0.0) if outcome.refusal else outcome

    async def _look_up(self, effects: Sequence[Effect], arrived: "asyncio.Queue[Settlement[Effect]]") -> None:
        for settlement in await self._lookups.look_up(effects):
            await arrived.put(settlement)


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
