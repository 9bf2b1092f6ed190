"""The charge protocol's surroundings for one test: orders, their rows, a worker, and the witness at Stripe's side."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Self
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.charges.model import OpenCharge
from service.effects.model import Effect, Outcome, Settlement
from service.effects.opening import open_effects
from service.effects.settling import settle
from service.foundation.postgres.db import bare_engine, create_engine
from service.foundation.settings import Settings
from service.orders.model import OrderRequest
from service.orders.store import Candidate, Placed, place
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.pacing import Bucket
from tests.sandbox.process import SandboxProcess
from workers.charge import ChargeWorker
from workers.effects import KINDS, kind_of
from workers.identity import identify_stripe
from workers.throttle import Breaker

WAIT_S = 10.0
OTHER_ACCOUNT = UUID("0192e4a0-0000-7000-8000-00000000000b")
EFFECTS = ("charges", "changes", "refunds")
POST = {"method": "POST", "path": "^/v1/payment_intents$"}  # the requests that charge

_numbers = count(1)


@dataclass(frozen=True)
class Promise:
    """An accepted order and the outbox row that promises its charge."""

    order_id: UUID
    outbox_id: UUID
    account_id: UUID
    key: str


def planner_without(settings: Settings, *kinds: str, pool: int | None = None) -> AsyncEngine:
    """An engine whose connections do not use these kinds of plans: statistics may bring any plan about."""
    engine = create_engine(settings, name="odd planner", pool=pool)

    def forbid(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for kind in kinds:
            cursor.execute(f"SET enable_{kind} = off")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", forbid)
    return engine


@dataclass
class Books:
    """Our side: placing orders, opening and settling by hand, reading what is on record."""

    engine: AsyncEngine
    settings: Settings

    async def order(self, key: str | None = None, *, account_id: UUID | None = None, **changes: Any) -> Promise:
        """One order, as the door stores it."""
        (promise,) = await self.orders(1, key, account_id=account_id, **changes)
        return promise

    async def orders(
        self, n: int, key: str | None = None, *, account_id: UUID | None = None, **changes: Any
    ) -> list[Promise]:
        """`n` equal orders under keys of their own."""
        account = account_id or await self.default_account()
        request = msgspec.convert(
            {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa", **changes}, OrderRequest
        )
        candidates = [Candidate.of(account, key or f"order:{next(_numbers)}", request) for _ in range(n)]
        assert all(isinstance(p, Placed) for p in await place(self.engine, candidates))
        rows = await self.all(
            "SELECT order_id, id FROM outbox WHERE order_id = ANY(:ids)", ids=[c.id for c in candidates]
        )
        outbox_ids = {row["order_id"]: row["id"] for row in rows}
        return [Promise(UUID(c.id), outbox_ids[UUID(c.id)], account, c.key) for c in candidates]

    async def default_account(self) -> UUID:
        return UUID(str((await self.one("SELECT id FROM accounts WHERE is_default"))["id"]))

    async def other_account(self) -> UUID:
        """An account that is not the default one."""
        await self.run("INSERT INTO accounts (id, name) VALUES (:id, 'other') ON CONFLICT DO NOTHING", id=OTHER_ACCOUNT)
        return OTHER_ACCOUNT

    async def attempt(self, promise: Promise, attempt: int) -> Promise:
        """A further attempt of the order, as paying again would write it."""
        row = await self.one(
            "INSERT INTO outbox (id, account_id, order_id, kind, payload) VALUES (gen_random_uuid(), :account, :order,"
            " 'charge', jsonb_build_object('attempt', CAST(:attempt AS int))) RETURNING id",
            account=promise.account_id,
            order=promise.order_id,
            attempt=attempt,
        )
        await self.run("UPDATE orders SET status = 'processing' WHERE id = :id", id=promise.order_id)
        return replace(promise, outbox_id=row["id"])

    async def due(self, *promises: Promise) -> None:
        """The time of what waits for it has come, for these rows."""
        await self.run(
            "UPDATE outbox SET deliver_after = now() WHERE published = 0 AND id = ANY(:ids)",
            ids=[p.outbox_id for p in promises],
        )

    async def open(self, *promises: Promise) -> list[OpenCharge]:
        """Open the charges of these promises, in their time; returns those that may be called."""
        return [effect for effect in await self.open_effects(*promises) if isinstance(effect, OpenCharge)]

    async def open_one(self, promise: Promise) -> OpenCharge:
        (charge,) = await self.open(promise)
        return charge

    async def open_effects(self, *promises: Promise) -> list[Effect]:
        """The same for effects of any kind."""
        await self.due(*promises)
        return (await open_effects(self.engine, [p.outbox_id for p in promises], self.settings, KINDS)).effects

    async def settle(self, effect: Effect, outcome: Outcome, **answer: Any) -> bool:
        """Settle one effect; whether it changed anything."""
        return bool(await settle(self.engine, kind_of(effect), [Settlement(effect, outcome, **answer)], self.settings))

    async def charge(self, promise: Promise, attempt: int = 1) -> dict[str, Any]:
        """The row of the order's attempt."""
        return await self.one(
            "SELECT * FROM charges WHERE order_id = :id AND attempt = :attempt", id=promise.order_id, attempt=attempt
        )

    async def changes(self, promise: Promise) -> list[dict[str, Any]]:
        """What was asked of the order's payments, in sequence."""
        return await self.all("SELECT * FROM changes WHERE order_id = :id ORDER BY created_at, id", id=promise.order_id)

    async def promises_of_changes(self, promise: Promise) -> list[Promise]:
        """The outbox rows of what was asked of the order's payments."""
        rows = await self.all(
            "SELECT id FROM outbox WHERE order_id = :id AND kind IN ('capture', 'cancel')", id=promise.order_id
        )
        return [replace(promise, outbox_id=row["id"]) for row in rows]

    async def status(self, promise: Promise) -> str:
        """The order's state."""
        return str((await self.one("SELECT status FROM orders WHERE id = :id", id=promise.order_id))["status"])

    async def row(self, promise: Promise) -> dict[str, Any] | None:
        """The outbox row, or None where the promise is kept."""
        found = await self.all("SELECT * FROM outbox WHERE id = :id", id=promise.outbox_id)
        return found[0] if found else None

    async def row_of(self, order_id: UUID) -> dict[str, Any] | None:
        """Some outbox row of the order, or None where it has none."""
        found = await self.all("SELECT * FROM outbox WHERE order_id = :id", id=order_id)
        return found[0] if found else None

    async def open_row(self, promise: Promise) -> dict[str, Any]:
        """The outbox row, which must be there."""
        row = await self.row(promise)
        assert row is not None, "the promise is gone"
        return row

    async def entries(self, promise: Promise) -> list[ledger.Entry]:
        """What the journal says of the order."""
        return await ledger.entries(self.engine, promise.account_id, promise.order_id)

    async def leases_end(self) -> None:
        """All leases are over, as if their workers had fallen silent."""
        for table in EFFECTS:
            await self.run(
                f"UPDATE {table} SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL"
            )

    async def all_due(self) -> list[UUID]:
        """Everything that waits in the outbox becomes due; the ids."""
        rows = await self.all(
            "UPDATE outbox SET deliver_after = now(), published = 0 WHERE parked_at IS NULL RETURNING id"
        )
        return [row["id"] for row in rows]

    async def run(self, statement: str, **values: Any) -> None:
        """A statement as the owner of the tables."""
        await self._execute(statement, values)

    async def all(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a statement."""
        return await self._execute(statement, values)

    async def one(self, statement: str, **values: Any) -> dict[str, Any]:
        """The one row of a statement."""
        (row,) = await self._execute(statement, values)
        return row

    async def _execute(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        async with self.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def balanced(self) -> None:
        """The books hold what they promise."""
        assert await ledger.verify(self.engine) == []


@dataclass
class World(Books):
    """Both sides, and a worker between them."""

    stripe: SandboxProcess
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _workers: list[ChargeWorker] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def worker(self, **changes: Any) -> ChargeWorker:
        """A worker process's ChargeWorker, with these settings changed."""
        settings = replace(self.settings, **changes)
        gateway = await self.stack.enter_async_context(StripeGateway(settings))
        redis = Redis.from_url(settings.redis_url, socket_timeout=2, socket_connect_timeout=2)
        self.stack.push_async_callback(redis.aclose)
        breaker = Breaker(redis, settings, lambda: identify_stripe(self.engine, gateway, settings))
        bucket = Bucket(redis, "post_payment_intents", settings.stripe_rps)
        return ChargeWorker(self.engine, gateway, breaker, bucket, settings)

    async def deliver(self, *promises: Promise, worker: ChargeWorker | None = None) -> None:
        """Hand the events to a worker, in their time."""
        await self.due(*promises)
        await (worker or await self._usual()).charge([p.outbox_id for p in promises])

    async def work(
        self, worker: ChargeWorker | None = None, *, done: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        """Deliver what is due until nothing is left in the outbox, or `done`."""
        worker = worker or await self._usual()
        deadline = time.monotonic() + WAIT_S
        while not await (done or self._nothing_left)():
            assert time.monotonic() < deadline, await self.all("SELECT status, next_call, history FROM charges")
            due = await self.all("SELECT id FROM outbox WHERE parked_at IS NULL AND deliver_after <= now()")
            if due:
                await worker.charge([row["id"] for row in due])
            else:
                await asyncio.sleep(0.005)

    async def _nothing_left(self) -> bool:
        return not await self.all("SELECT 1 FROM outbox WHERE parked_at IS NULL LIMIT 1")

    async def _usual(self) -> ChargeWorker:
        if not self._workers:
            self._workers.append(await self.worker())
        return self._workers[0]

    def charges_at_stripe(self, promise: Promise) -> int:
        """How often the order was really charged, says the witness."""
        return int(self.stripe.truth(str(promise.order_id))["charges"])

    async def assert_charged_once(self, *promises: Promise) -> None:
        """Paid here, charged once there, booked once, and nothing left to do."""
        for promise in promises:
            assert await self.status(promise) == "paid"
            assert self.charges_at_stripe(promise) == 1
            assert [e["kind"] for e in await self.entries(promise)] == ["charge"]
            assert await self.row(promise) is None
        await self.balanced()

    async def calls(self, promise: Promise) -> list[str]:
        """What was asked of Stripe for the order's first attempt, in sequence."""
        return await self.calls_of(promise.order_id)

    async def calls_of(self, order_id: UUID) -> list[str]:
        """The same, where only the order's id is known."""
        charge = await self.one("SELECT history FROM charges WHERE order_id = :id AND attempt = 1", id=order_id)
        return [h["call"] for h in charge["history"] if "call" in h]

    async def answers(self, promise: Promise) -> list[str]:
        """What came back, in sequence."""
        return [h["answer"] for h in (await self.charge(promise))["history"] if "answer" in h]


_OF_EFFECT = ("created_at", "updated_at", "lease_until", "first_sent_at", "last_sent_at")
# What bears time in the tables that may be changed; the ledger is never changed, not even by a test's clock.
TIMES: dict[str, Sequence[str]] = {
    "orders": ("created_at", "updated_at"),
    "outbox": ("created_at", "deliver_after", "parked_at"),
    "charges": (*_OF_EFFECT, "stripe_created", "charged_at"),
    "operations": ("created_at",),
    "changes": _OF_EFFECT,
    "refunds": (*_OF_EFFECT, "stripe_created"),
    # 'infinity' stays what it is.
    "lives": ("seen_at", "bound", "verified_until", "heartbeat_at", "verifier_until"),
    "order_aliases": ("created_at",),
    "instance": ("created_at", "balance_opened_at"),
    "sweeps": ("swept_until", "swept_at"),
    "balance_transactions": ("stripe_created", "available_on", "seen_at", "look_at"),
}
OLDER_HISTORY = """
UPDATE {table} SET history = (
  SELECT coalesce(jsonb_agg(h || jsonb_build_object('at', (h ->> 'at')::timestamptz - make_interval(secs => :by))
                            ORDER BY n), '[]')
    FROM jsonb_array_elements(history) WITH ORDINALITY AS of_charge(h, n))
"""


async def time_passes(database_url: str, stripe: SandboxProcess, hours: float) -> None:
    """Everything here and at Stripe becomes `hours` older in one step, while both clocks stay (R28)."""
    seconds = int(hours * 3600)
    engine = bare_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"LOCK TABLE {', '.join(TIMES)}"))
            for table, columns in TIMES.items():
                older = ", ".join(f"{c} = {c} - make_interval(secs => :by)" for c in columns)
                await connection.execute(text(f"UPDATE {table} SET {older}"), {"by": seconds})
            for table in EFFECTS:
                await connection.execute(text(OLDER_HISTORY.format(table=table)), {"by": seconds})
            await asyncio.to_thread(stripe.control, "POST", "age", {"seconds": seconds})
    finally:
        await engine.dispose()
