"""What tests of forgotten refunds share: refunds that only Stripe remembers, and those that producers ask for."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from service import refunds
from service.effects.request import STRIPE_VERSION
from service.orders.identity import REFUND, refund_wire_key
from service.orders.operations import Wish
from service.refunds import RefundRequest
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import RefundMarks
from tests.charges.wishes import api
from tests.charges.world import Promise, World
from tests.recovery.forgetting import begin_another_life, fresh_key

REFUNDS = {"method": "GET", "path": "^/v1/refunds$"}
_EXPAND = ["balance_transaction", "failure_balance_transaction"]


@dataclass(frozen=True)
class LostRefund:
    """A refund that was asked for, and sent, in minutes that this database has forgotten."""

    order: Promise
    marks: RefundMarks
    amount: int
    metadata: dict[str, str]

    @property
    def key(self) -> str:
        """The producer's key."""
        assert self.marks.key is not None
        return self.marks.key

    async def sent(self, world: World, *, wire_key: str | None = None) -> str:
        """Send it as the worker of the forgotten life did; Stripe's id."""
        its_own = refund_wire_key(
            account_id=self.order.account_id, order_key=self.order.key, refund_key=self.key, nth=1
        )
        return await given_back(
            world, self.order, self.amount, self.marks.metadata(self.metadata), key=wire_key or its_own
        )


async def lost_refund(world: World, order: Promise, amount: int, *, key: str | None = None, **of: str) -> LostRefund:
    """A refund of `order` that this database knows nothing of."""
    marks = RefundMarks(
        account_id=order.account_id,
        order_id=order.order_id,
        refund_id=uuid7(),
        key=key or fresh_key(),
        instance=(await world.one("SELECT uuid FROM instance"))["uuid"],
    )
    return LostRefund(order, marks, amount, of)


async def given_back(
    world: World,
    order: Promise,
    amount: int,
    metadata: dict[str, str] | None = None,
    *,
    key: str = "",
    attempt: int = 1,
) -> str:
    """A refund made at Stripe, without our metadata as somebody does in the dashboard; its id there."""
    intent = (await world.charge(order, attempt))["payment_intent_id"]
    request: dict[str, Any] = {"payment_intent": intent, "amount": amount, "expand": _EXPAND}
    if metadata is not None:
        request["metadata"] = metadata
    async with StripeGateway(replace(world.settings, stripe_timeout_s=20.0)) as gateway:
        answer = await gateway.post(paths.REFUNDS, request, key=key or fresh_key(), version=STRIPE_VERSION)
    assert answer.refund is not None, answer
    return answer.refund.id


async def asks(world: World, order: Promise, key: str, **wanted: Any) -> UUID:
    """The producer asks for a refund; our id of it."""
    request = msgspec.convert(wanted, RefundRequest)
    wish = Wish(REFUND, order.account_id, order.order_id, key, request)
    return UUID(str((await refunds.refund(api(world.engine), wish, request)).refund.id))


async def paid(world: World, **changes: Any) -> Promise:
    """An order of 1999 usd that has its money."""
    order = await world.order(fresh_key(), **changes)
    await world.work()
    assert await world.status(order) == "paid"
    return order


async def forgets(world: World) -> None:
    """The database has begun another life, and remembers two hours less than Stripe."""
    await world.run("UPDATE lives SET heartbeat_at = now() - interval '2 hours'")
    await begin_another_life(world)


async def refunds_of(world: World, order: Promise) -> list[dict[str, Any]]:
    """The order's refunds as the database has them, oldest first."""
    return await world.all("SELECT * FROM refunds WHERE order_id = :id ORDER BY created_at, id", id=order.order_id)


async def sums(world: World, order: Promise) -> tuple[int, int, int]:
    """What the order counts: refunded, under way, owed."""
    row = await world.one(
        "SELECT amount_refunded_minor AS a, amount_refunding_minor AS b, amount_owed_minor AS c FROM orders"
        " WHERE id = :id",
        id=order.order_id,
    )
    return row["a"], row["b"], row["c"]


async def assert_given_back(world: World, order: Promise, *amounts: int) -> None:
    """So much went back, as our rows, the order, the books and the witness say it; nothing is left to do."""
    rows = [row for row in await refunds_of(world, order) if row["status"] == "succeeded"]
    assert sorted(row["amount_minor"] for row in rows) == sorted(amounts)
    assert len({row["stripe_refund_id"] for row in rows}) == len(amounts)
    refunded, under_way, _ = await sums(world, order)
    assert (refunded, under_way) == (sum(amounts), 0)
    truth = world.stripe.truth(str(order.order_id))
    assert (truth["refunds"], truth["refunded"]) == (len(amounts), {"usd": sum(amounts)} if amounts else {})
    kinds = [entry["kind"] for entry in await world.entries(order)]
    assert kinds.count("refund") - kinds.count("refund_failed") == len(amounts)
    assert await world.all("SELECT FROM outbox WHERE parked_at IS NULL") == []
    await world.balanced()


async def posted(world: World, path: str, **request: Any) -> None:
    """Something was asked of Stripe that this database does not know of."""
    async with StripeGateway(world.settings) as gateway:
        answer = await gateway.post(path, request, key=fresh_key(), version=STRIPE_VERSION)
    assert answer.http_status == 200, answer
