"""Whatever is swept is also settled by its events; what a room does not store is looked for again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings
from service.inbox import settling
from service.inbox.following import FOLLOWED
from service.inbox.others import _STORED
from service.sweeps import every_sweep
from tests.charges.world import World
from tests.inbox.conftest import snapshot, thin
from tests.inbox.telling import events_of, hear, notes, unsettled
from tests.recovery.forgetting import begin_another_life, forgotten, fresh_key
from tests.refunds.giving_back import paid


@dataclass(frozen=True)
class Thing:
    id: str
    created: int


@dataclass
class Room:
    """A room that stores what it is shown, or does not."""

    name: str
    things: dict[str, Thing]
    stores: Statement[Any] | None
    asked: list[str] = field(default_factory=list)

    async def ask(self, _gateway: object, gte: int, lt: int) -> AsyncIterator[Thing]:
        self.asked.append("list")
        for thing in self.things.values():
            if gte <= thing.created < lt:
                yield thing

    async def retrieve(self, _gateway: object, object_id: str) -> Thing | None:
        self.asked.append(object_id)
        return self.things.get(object_id)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Thing], _settings: Settings) -> None:
        if self.stores is not None:
            async with connect(engine) as connection:
                for thing in shown:
                    await connection.run(self.stores, {"id": thing.id})


STORES = Statement("""
INSERT INTO payouts (id, account_id, status, amount_minor, currency, arrival_date, automatic, method, stripe_created)
VALUES (:id, gen_random_uuid(), 'paid', 1, 'usd', now(), true, 'standard', now()) ON CONFLICT DO NOTHING
""")


def test_every_list_that_is_swept_is_followed_and_every_kind_that_is_followed_is_swept() -> None:
    swept = {sweep.name for sweep in every_sweep()}
    assert swept == set(FOLLOWED.values())
    assert swept == {"payment_intents", "refunds", *_STORED}


async def test_what_its_room_has_stored_is_settled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    things = {f"po_{n}": Thing(f"po_{n}", 1_790_000_000 + n) for n in range(5)}
    room = Room("payouts", things, STORES)
    monkeypatch.setattr(settling, "every_sweep", lambda: (room,))
    told = [snapshot("payout.paid", {"id": t.id, "object": "payout", "created": t.created}) for t in things.values()]
    await hear(world, [*told, thin("v1.payout.updated", "po_0"), thin("v1.payout.created", "po_gone")])
    assert room.asked == ["list", "po_gone"]
    assert await unsettled(world) == []
    assert await notes(world) == {None, "Stripe has no such object"}


async def test_a_dispute_of_no_payment_of_ours_is_given_up_after_a_day(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room("disputes", {"dp_1": Thing("dp_1", 1_790_000_000)}, None)
    monkeypatch.setattr(settling, "every_sweep", lambda: (room,))
    await hear(world, [snapshot("charge.dispute.created", {"id": "dp_1", "object": "dispute"})])
    assert await unsettled(world) == ["it is of no payment that is known here"]
    await world.run("UPDATE stripe_events SET received_at = received_at - interval '25 hours'")
    await hear(world, [])
    assert await notes(world) == {"it is of no payment that is known here"}
    assert "inbox.unsettled" not in caplog.text


async def test_a_forgotten_payment_holds_up_no_other_event_before_stripe_was_asked_for_all(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    known = await paid(world)
    (intent,) = world.stripe.truth(str(lost.marks.order_id))["payment_intents"]
    (other,) = world.stripe.truth(str(known.order_id))["payment_intents"]
    await begin_another_life(world)
    await hear(world, [*await events_of(world, intent), *await events_of(world, other)])
    assert {note and "may have forgotten" in note for note in await unsettled(world)} == {True}
    settled = await world.all("SELECT DISTINCT object_id FROM stripe_events WHERE settled_at IS NOT NULL")
    assert other in {row["object_id"] for row in settled}
