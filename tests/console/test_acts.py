"""What a page begins in the background: one at a time in the fleet, within a bound, and its end is said."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import acts as acts_module
from service.console.acts import Acts, Say
from service.foundation.errors import Conflict


async def _ended(acts: Acts) -> str:
    async with asyncio.timeout(20):
        while (act := acts.of("looking")) is None or act.ended is None or await acts.runs("looking"):
            await asyncio.sleep(0.01)
    return act.says


async def test_one_runs_at_a_time_in_the_whole_fleet(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts_module, "_RENEW_S", 0.01)
    here, elsewhere, may_end = Acts(engine), Acts(engine), asyncio.Event()

    async def look(say: Say) -> str:
        say("looks")
        await may_end.wait()
        return "has looked"

    await here.begin("looking", look, within_s=20)
    with pytest.raises(Conflict, match="runs already"):
        await elsewhere.begin("looking", look, within_s=20)
    assert await elsewhere.runs("looking")
    may_end.set()
    assert await _ended(here) == "has looked"
    await elsewhere.begin("looking", look, within_s=20)
    assert await _ended(elsewhere) == "has looked"


async def test_one_that_takes_too_long_fails_or_is_stopped_ends_and_is_said(engine: AsyncEngine) -> None:
    async def for_ever(_say: Say) -> str:
        await asyncio.Event().wait()
        return "never"

    async def broken(_say: Say) -> str:
        raise OSError("no route")

    acts = Acts(engine)
    await acts.begin("looking", for_ever, within_s=0.01)
    assert "took longer than 0 s" in await _ended(acts)
    await acts.begin("looking", broken, within_s=20)
    assert (await _ended(acts)).startswith("ended without a result: ")
    await acts.begin("looking", for_ever, within_s=20)
    await acts.close()
    assert not await acts.runs("looking"), "another process may begin it at once"
