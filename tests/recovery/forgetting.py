"""What tests of a forgetting database share: another life, and payments that only Stripe remembers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from service.charges.request import payment_intent_request
from service.effects.request import STRIPE_VERSION
from service.orders.identity import fingerprint, wire_key
from service.orders.model import OrderRequest
from service.orders.store import Candidate, Placed, place
from service.recovery import current, verify
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import Marks
from tests.charges.world import Books, Promise, World

Passes = Callable[[float], Awaitable[None]]
LIST = {"method": "GET", "path": "^/v1/payment_intents$"}
DECLINES, ASKS = "pm_card_chargeDeclined", "pm_card_threeDSecureRequired"
ORDER: dict[str, Any] = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}


def fresh_key() -> str:
    """A producer's key that nobody has used: all share one Stripe."""
    return f"cart:{uuid4()}"


async def begin_another_life(books: Books) -> None:
    """As a restart, restore or promotion does: the present identity is one that was never seen."""
    await books.run("UPDATE lives SET identity = 'before: ' || identity || ' ' || id")


async def forgets_an_hour(world: World) -> World:
    """The database has begun another life, and remembers an hour less than Stripe."""
    await world.run("UPDATE lives SET heartbeat_at = now() - interval '1 hour'")
    await begin_another_life(world)
    return world


async def no_lives_yet(books: Books) -> None:
    """As just after the migration that counts them."""
    owner = await asyncpg.connect(books.settings.database_url)
    await owner.execute("DELETE FROM lives")
    await owner.close()


@dataclass(frozen=True)
class Forgotten:
    """An order that was placed, and perhaps sent, in minutes that this database has forgotten."""

    marks: Marks
    request: OrderRequest
    is_default: bool = True

    @property
    def key(self) -> str:
        """The producer's key."""
        assert self.marks.key is not None
        return self.marks.key

    async def sent(self, world: World, *, by_version_before: bool = False) -> str | None:
        """Send it as the worker of the forgotten life did; the PaymentIntent's id."""
        marks = replace(self.marks, key=None, fingerprint=None, instance=None) if by_version_before else self.marks
        body = msgspec.to_builtins(self.request)
        request = payment_intent_request(
            marks=marks,
            amount=self.request.amount,
            currency=self.request.currency,
            payment_method=self.request.payment_method,
            customer=body.get("customer"),
            description=body.get("description"),
            metadata=self.request.metadata,
            capture=self.request.capture,
        )
        key = wire_key(
            account_id=marks.account_id,
            is_default=self.is_default,
            operation="charge",
            order_key=self.key,
            attempt=marks.attempt,
        )
        async with StripeGateway(replace(world.settings, stripe_timeout_s=20.0)) as gateway:
            answer = await gateway.create_payment_intent(request, key=key, version=STRIPE_VERSION)
        assert answer.http_status in (200, 402), answer
        return answer.intent.id if answer.intent else None

    async def repeated(self, world: World, **changes: Any) -> Placed:
        """The producer repeats the key, perhaps with another body."""
        request = msgspec.convert({**msgspec.to_builtins(self.request), **changes}, OrderRequest)
        (placed,) = await place(world.engine, [Candidate.of(self.marks.account_id, self.key, request)])
        assert isinstance(placed, Placed), placed
        return placed


async def forgotten(
    world: World, key: str, *, attempt: int = 1, order_id: UUID | None = None, account_id: UUID | None = None, **of: Any
) -> Forgotten:
    """An order under `key` that this database knows nothing of."""
    request = msgspec.convert({**ORDER, **of}, OrderRequest)
    instance = (await world.one("SELECT uuid FROM instance"))["uuid"]
    marks = Marks(
        account_id=account_id or await world.default_account(),
        order_id=order_id or uuid7(),
        attempt=attempt,
        key=key,
        fingerprint=fingerprint(request),
        instance=instance,
    )
    return Forgotten(marks, request, is_default=account_id is None)


def charges_of(world: World, *orders: UUID) -> int:
    """How often these orders were really charged, says the witness."""
    return sum(int(world.stripe.truth(str(order))["charges"]) for order in orders)


async def asked(world: World) -> str | None:
    """Stripe is asked; why sending must wait, or None."""
    async with StripeGateway(world.settings) as gateway:
        return await verify(world.engine, gateway, world.settings)


async def shown(world: World, lost: Forgotten) -> dict[str, Any]:
    """The order as the database has it, by the id it was accepted under."""
    return await world.one("SELECT * FROM orders WHERE id = :id", id=lost.marks.order_id)


async def found(world: World) -> dict[str, Any]:
    """What the life's listings have brought back."""
    return (await current(world.engine, world.settings)).found or {}


def promise_of(lost: Forgotten) -> Promise:
    return Promise(lost.marks.order_id, UUID(int=0), lost.marks.account_id, lost.key)


async def lost_orders(world: World) -> list[str]:
    return [row["idempotency_key"] for row in await world.all("SELECT idempotency_key FROM orders")]
