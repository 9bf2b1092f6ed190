"""R38, R35: a sweep's cursor moves over what was read, proven and settled, and over nothing else."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import Sweep
from service.foundation.settings import Settings
from service.stripe_gateway.objects import MOMENT_MAX, IncompleteListing
from service.sweeps import Sweeping, cursors, sweeping

HOUR = 3_600


@dataclass(frozen=True)
class Thing:
    """What Stripe lists."""

    id: str
    created: int


@dataclass
class Stripe:
    """A list, and the windows that were asked for."""

    things: list[Thing] = field(default_factory=list)
    breaks_after: int | None = None
    hides: set[str] = field(default_factory=set)
    asked: list[tuple[int, int]] = field(default_factory=list)
    now: float | None = field(default_factory=time.time)

    async def clock(self) -> float | None:
        return self.now


@dataclass
class Things(Sweep[Thing, Stripe]):
    """A kind that notes what it is given."""

    name = "things"
    settled: list[list[str]] = field(default_factory=list)
    has: set[str] = field(default_factory=set)

    async def ask(self, gateway: Stripe, created_gte: int, created_lt: int) -> AsyncIterator[Thing]:
        gateway.asked.append((created_gte, created_lt))
        shown = sorted((t for t in gateway.things if created_gte <= t.created < created_lt), key=lambda t: -t.created)
        for n, thing in enumerate(shown):
            if n == gateway.breaks_after:
                raise IncompleteListing("page 2 could not be read")
            if thing.id not in gateway.hides:
                yield thing

    async def retrieve(self, gateway: Stripe, object_id: str) -> Thing | None:
        return next((t for t in gateway.things if t.id == object_id), None)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        return set(self.has)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Thing], settings: Settings) -> None:
        self.settled.append([thing.id for thing in shown])


@dataclass
class Swept:
    """One list under sweep, on a real table of cursors."""

    engine: AsyncEngine
    settings: Settings
    stripe: Stripe = field(default_factory=Stripe)
    kind: Things = field(default_factory=Things)
    duty: bool = True

    async def once(self) -> bool:
        return await self.made().once()

    def made(self) -> Sweeping[Thing, Stripe]:
        return Sweeping(self.engine, self.stripe, self.kind, self.settings, self.stripe.clock, may_go_on=self._has_duty)

    async def _has_duty(self) -> bool:
        return self.duty

    async def is_born(self, seconds_ago: float) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(
                text("UPDATE instance SET created_at = now() - make_interval(secs => :ago)"), {"ago": seconds_ago}
            )

    async def cursor(self) -> tuple[int, str | None] | None:
        async with self.engine.connect() as connection:
            rows = await connection.execute(text("SELECT extract(epoch FROM swept_until)::bigint, note FROM sweeps"))
            row = rows.first()
        return None if row is None else (row[0], row[1])

    def things(self, *ages: int) -> list[Thing]:
        now = int(time.time())
        self.stripe.things = [Thing(f"t{age}", now - age) for age in ages]
        return self.stripe.things


@pytest.fixture
def swept(engine: AsyncEngine, settings: Settings) -> Swept:
    return Swept(engine, settings)


async def test_the_first_sweep_begins_a_little_before_the_installation_was_made(swept: Swept) -> None:
    await swept.is_born(100)
    swept.things(50, 300, 5_000)
    assert await swept.once()
    assert swept.kind.settled == [["t50", "t300"]], "what is older is none of ours"


async def test_the_cursor_is_by_stripes_clock_that_of_the_newest_object(swept: Swept) -> None:
    newest, _ = swept.things(20, 40)
    await swept.once()
    assert await swept.cursor() == (newest.created, None)


async def test_the_next_sweep_reads_a_little_again_and_what_came_late(swept: Swept) -> None:
    newest, _ = swept.things(20, 25)
    await swept.once()
    swept.stripe.things.append(Thing("late", newest.created - 8))
    await swept.once()
    assert swept.kind.settled[-1] == ["t20", "t25", "late"]
    assert swept.stripe.asked[-3][0] == newest.created - sweeping.OVERLAP_S


async def test_what_was_shown_before_a_listing_broke_off_is_settled_and_the_cursor_stays(
    swept: Swept, caplog: pytest.LogCaptureFixture
) -> None:
    swept.things(10)
    await swept.once()
    before = await swept.cursor()
    swept.things(*range(1, 5))
    swept.stripe.breaks_after = 2
    assert not await swept.once()
    assert swept.kind.settled[-1] == ["t1", "t2"]
    assert before is not None
    assert await swept.cursor() == (before[0], "page 2 could not be read")
    assert "sweep.incomplete" in caplog.text
    swept.stripe.breaks_after = None
    assert await swept.once()
    assert (await swept.cursor() or (0, "none"))[1] is None


async def test_a_listing_that_hides_what_is_known_moves_no_cursor(swept: Swept) -> None:
    swept.things(10, 20)
    swept.kind.has, swept.stripe.hides = {"t20"}, {"t20"}
    assert not await swept.once()
    assert await swept.cursor() is None
    swept.stripe.things = [thing for thing in swept.stripe.things if thing.id != "t20"]
    assert await swept.once(), "what Stripe has deleted stops nothing"


async def test_what_is_made_in_the_second_that_is_read_is_no_contradiction_the_next_time(
    swept: Swept, caplog: pytest.LogCaptureFixture
) -> None:
    swept.things(5)
    ask = swept.kind.ask

    async def one_comes(gateway: Stripe, gte: int, lt: int) -> AsyncIterator[Thing]:
        async for thing in ask(gateway, gte, lt):
            yield thing
        if len(gateway.things) == 1:
            gateway.things.append(Thing("next", gateway.things[0].created))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swept.kind, "ask", one_comes)
        assert await swept.once()
    assert swept.kind.settled[-1] == ["t5", "next"]
    assert "sweep.incomplete" not in caplog.text


async def test_a_listing_that_contradicts_itself_twice_is_said_and_not_believed(
    swept: Swept, caplog: pytest.LogCaptureFixture
) -> None:
    swept.things(5, 4)
    ask = swept.kind.ask

    def hides_a_second(stripe: Stripe, gte: int, lt: int) -> AsyncIterator[Thing]:
        return ask(Stripe() if lt == gte + 1 else stripe, gte, lt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swept.kind, "ask", hides_a_second)
        assert not await swept.once()
    assert caplog.text.count("sweep.incomplete") == 1
    assert await swept.cursor() is None


async def test_a_kind_is_late_while_what_is_beside_its_list_cannot_be_read(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cursor moves on, because nobody has to read the list again for that."""
    (newest,) = swept.things(5)
    await swept.is_born(1_000)

    async def breaks(*_: object) -> None:
        raise IncompleteListing("a page could not be read")

    with monkeypatch.context() as patch:
        patch.setattr(swept.kind, "beside", breaks)
        for _ in range(2):
            assert not await swept.once()
    assert await swept.cursor() == (newest.created, "a page could not be read")
    assert [late.kind for late in await cursors.late(swept.engine, ["things"], 600)] == ["things"]
    assert await swept.once()
    assert await cursors.late(swept.engine, ["things"], 600) == []
    assert await swept.cursor() == (newest.created, None)


async def test_a_month_without_sweeps_is_caught_up_in_chunks_each_of_which_counts(swept: Swept) -> None:
    await swept.is_born(30 * 86_400)
    swept.things(10, 5 * 86_400, 29 * 86_400)
    assert await swept.once()
    assert {one for page in swept.kind.settled for one in page} == {"t2505600", "t432000", "t10"}
    assert swept.kind.settled[0] == ["t2505600"], "the oldest chunk first"
    assert len(swept.stripe.asked) < 40, "empty weeks cost few calls"
    assert MOMENT_MAX in {lt for _, lt in swept.stripe.asked}, "the last chunk has no end"


async def test_a_catch_up_that_breaks_off_goes_on_where_it_was(swept: Swept) -> None:
    await swept.is_born(30 * 86_400)
    swept.things(10, 29 * 86_400)
    sweeping_ = swept.made()
    ask, windows = swept.kind.ask, 0

    def breaks(gateway: Stripe, gte: int, lt: int) -> AsyncIterator[Thing]:
        nonlocal windows
        windows += 1
        if windows == 12:
            gateway.breaks_after = 0
        return ask(gateway, gte, lt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swept.kind, "ask", breaks)
        swept.stripe.things.append(Thing("middle", int(time.time()) - 20 * 86_400))
        await sweeping_.once()
    held = await swept.cursor()
    assert held is not None
    assert time.time() - held[0] < 29 * 86_400
    swept.stripe.breaks_after = None
    assert await swept.once()
    assert {one for page in swept.kind.settled for one in page} == {"t10", "t2505600", "middle"}


async def test_a_host_whose_clock_is_ahead_skips_nothing(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its clock an hour has passed that Stripe has still to live through."""
    swept.things(10)
    stripes = time.time()
    swept.stripe.now = stripes
    monkeypatch.setattr("time.time", lambda: stripes + 10 * HOUR)
    await swept.once()
    assert (await swept.cursor() or (0, None))[0] <= stripes
    swept.stripe.things.append(Thing("next", int(stripes) + 60))
    await swept.once()
    assert "next" in swept.kind.settled[-1]


async def test_an_object_of_the_future_does_not_carry_the_cursor_with_it(swept: Swept) -> None:
    swept.stripe.things = [Thing("odd", int(time.time()) + 86_400)]
    await swept.once()
    assert (await swept.cursor() or (0, None))[0] <= time.time()


async def test_pages_are_settled_as_they_come(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 3)
    swept.things(*range(8))
    await swept.once()
    assert [len(page) for page in swept.kind.settled] == [3, 3, 2]


async def test_who_lost_the_duty_stops_and_moves_no_cursor(swept: Swept) -> None:
    swept.things(10)
    swept.duty = False
    assert not await swept.once()
    assert await swept.cursor() is None


async def test_of_two_sweepers_the_one_that_read_further_counts(swept: Swept) -> None:
    (newest,) = swept.things(5)
    await swept.once()
    swept.things(100)
    await swept.once()
    assert await swept.cursor() == (newest.created, None)
