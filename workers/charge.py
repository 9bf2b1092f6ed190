"""The charge actor: open, call, classify, settle. The only code between the outbox and Stripe.

One message is a set of outbox ids. Its calls run concurrently and are settled as they arrive, so a stalled call never
holds up the others. What is not final comes back through the outbox and the actor returns normally: retrying has one
owner. No transaction is open while Stripe is called.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from random import shuffle
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.charges.answers import give_up_alone, judge_retrieve, judge_send
from service.charges.leasing import renew
from service.charges.lookup import Window, judge_lookup, windows
from service.charges.model import OpenCharge, Outcome, Rules
from service.charges.opening import open_charges
from service.charges.settling import Settlement, settle
from service.crash import CrashPoint, reach
from service.log import event, of_error
from service.settings import Settings
from service.stripe_gateway import StripeGateway
from service.stripe_objects import Answer, IncompleteListing, Intent
from workers.throttle import Breaker, Bucket

# Listed PaymentIntents are looked through, not kept; beyond this a look-up is called incomplete and tried again.
_LOOKUP_MAX = 200_000
_ABANDONED = "abandoned before the call: the lease was too short for it"


class ChargeWorker:
    """What one worker process does with a message."""

    def __init__(
        self, engine: AsyncEngine, gateway: StripeGateway, breaker: Breaker, bucket: Bucket, settings: Settings
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._breaker = breaker
        self._bucket = bucket
        self._settings = settings
        self._rules = Rules.of(settings)

    async def charge(self, outbox_ids: Sequence[UUID]) -> None:
        """Work through the events of one message. Raises only what the outbox will bring back by itself."""
        remaining = list(outbox_ids)
        while remaining:
            async with self._breaker.admission(len(remaining)) as admitted:
                if not admitted.rows:
                    reason = f"breaker open: {self._breaker.reason}"
                    await outbox.put_back(self._engine, remaining, after_s=admitted.wait_s, reason=reason)
                    return
                if admitted.trial:
                    shuffle(remaining)  # an order that is refused alone must not be the one tried each time
                # First the rate token, then the lease, then the call (R13): a lease must not run out in a queue.
                granted = await self._bucket.take(admitted.rows)
                batch, remaining = remaining[:granted], remaining[granted:]
                await self._charge_batch(batch)

    async def _charge_batch(self, outbox_ids: Sequence[UUID]) -> None:
        began = _boottime()
        reach(CrashPoint.WORKER_BEFORE_OPEN)
        opened = await open_charges(self._engine, outbox_ids, self._settings)
        reach(CrashPoint.WORKER_AFTER_OPEN)
        await self._bucket.give_back(len(outbox_ids) - len(opened.charges))
        deadline = began + self._settings.charge_lease_s - self._settings.stripe_timeout_s
        if opened.charges:
            await self._call_and_settle(opened.charges, deadline)

    async def _call_and_settle(self, charges: Sequence[OpenCharge], deadline: float) -> None:
        """Start every call at once; settle whatever has arrived, again and again, until all have."""
        arrived: asyncio.Queue[Settlement] = asyncio.Queue()
        async with asyncio.TaskGroup() as calls:
            for charge in charges:
                if charge.call != "lookup":
                    calls.create_task(self._call(charge, deadline, arrived))
            if lookups := [c for c in charges if c.call == "lookup"]:
                calls.create_task(self._look_up(lookups, arrived))
            left = len(charges)
            while left:
                batch = [await arrived.get()]
                while not arrived.empty():
                    batch.append(arrived.get_nowait())
                left -= len(batch)
                await self._settle(batch)

    async def _settle(self, batch: list[Settlement]) -> None:
        reach(CrashPoint.WORKER_AFTER_REPLY)
        changed = await settle(self._engine, batch, self._settings)
        reach(CrashPoint.WORKER_AFTER_SETTLE)
        if len(changed) < len(batch):
            event("charge.fenced", level="warning", count=len(batch) - len(changed))

    async def _call(self, charge: OpenCharge, deadline: float, arrived: "asyncio.Queue[Settlement]") -> None:
        # Checked immediately before the request, by a clock that counts a suspended machine's sleep (R14).
        if _boottime() > deadline:
            await arrived.put(Settlement(charge, _abandoned(charge)))
            return
        if charge.call == "retrieve" and charge.payment_intent_id is not None:
            answer = await self._gateway.get_payment_intent(charge.payment_intent_id)
            outcome = judge_retrieve(charge, answer)
        else:
            answer = await self._gateway.create_payment_intent(
                charge.request, key=charge.idempotency_key, version=charge.stripe_version
            )
            outcome = judge_send(charge, answer)
        await self._watch(charge, answer, outcome)
        await arrived.put(Settlement(charge, self._after_refusal(charge, outcome), answer))

    async def _watch(self, charge: OpenCharge, answer: Answer, outcome: Outcome) -> None:
        """What an answer says about all charges: we are refused (R20, R33), or clocks disagree (R28)."""
        if answer.http_status is not None:
            # A replay is the word of another day.
            through = charge.call == "send" and answer.http_status in (200, 402) and not answer.replayed
            await self._breaker.record(charge.order_id, outcome.refusal, sent_through=through)
        if answer.date is not None:
            skew = abs(answer.date - charge.opened_at.timestamp())
            if skew > self._settings.clock_skew_max_s + self._settings.charge_lease_s:
                await self._breaker.trip(f"clocks differ by {skew:.0f} s: the database's and Stripe's")

    def _after_refusal(self, charge: OpenCharge, outcome: Outcome) -> Outcome:
        """Where everybody is refused the breaker does the waiting; what only this order meets ends at a human (R10)."""
        if self._breaker.reason is None:
            return give_up_alone(charge, outcome, self._rules)
        return replace(outcome, retry_s=outcome.retry_s or 0.0) if outcome.refusal else outcome

    async def _look_up(self, charges: Sequence[OpenCharge], arrived: "asyncio.Queue[Settlement]") -> None:
        """One scan serves all charges of a window (R18)."""
        found: dict[UUID, list[Intent]] = {c.id: [] for c in charges}
        by_order = {(str(c.order_id), str(c.attempt)): c for c in charges}
        odd: set[UUID] = set()
        complete = True
        renewing = asyncio.create_task(self._keep_leases(charges))
        try:
            for window in windows(charges, self._rules):
                complete = await self._scan(window, by_order, found, odd) and complete
        finally:
            renewing.cancel()
        for charge in charges:
            # A payment of this attempt over another sum is no proof of ours, and no proof that nothing was executed.
            conclusive = complete and charge.id not in odd
            outcome = judge_lookup(charge, found[charge.id], complete=conclusive, rules=self._rules)
            note = f"{len(found[charge.id])} found, {'complete' if conclusive else 'inconclusive'} listing"
            await arrived.put(Settlement(charge, outcome, Answer(http_status=None, note=note)))

    async def _keep_leases(self, charges: Sequence[OpenCharge]) -> None:
        """Until cancelled. Where it fails the leases run out, and another looks up: slower, and no less safe (R21)."""
        while True:
            await asyncio.sleep(self._settings.charge_lease_s / 3)
            try:
                await renew(self._engine, charges, self._settings)
            except Exception as error:  # noqa: BLE001  a lease only saves calls
                event("charge.lease_not_renewed", level="warning", **of_error(error))

    async def _scan(
        self,
        window: Window,
        by_order: dict[tuple[str, str], OpenCharge],
        found: dict[UUID, list[Intent]],
        odd: set[UUID],
    ) -> bool:
        """Read one window to its end, keeping what is ours, and which attempts are named by something that is not.

        False: not every page could be read.
        """
        seen = 0
        try:
            async for intent in self._gateway.list_payment_intents(window.gte, window.lt, window.customer):
                seen += 1
                charge = by_order.get((intent.metadata.get("eo_order", ""), intent.metadata.get("eo_attempt", "")))
                if charge is not None and charge.is_mine(intent):
                    found[charge.id].append(intent)
                elif charge is not None and intent.metadata.get("eo_account") == str(charge.account_id):
                    odd.add(charge.id)
                if seen >= _LOOKUP_MAX:
                    return False
        except IncompleteListing as error:
            event("charge.lookup_incomplete", level="warning", reason=str(error))
            return False
        return True


def _abandoned(charge: OpenCharge) -> Outcome:
    """Not called after all. A first send that was never made is proven not to have run."""
    return Outcome(
        status="sending" if charge.first_send else charge.status,
        next_call=charge.call,
        cleared=charge.first_send,
        unclear=charge.unclear,
        retry_s=0.0,
        entry={"answer": _ABANDONED},
    )


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
