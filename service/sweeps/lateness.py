"""Which lists have not been swept for so long that somebody should look."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.sweeps import cursors
from service.sweeps.cursors import Late
from service.sweeps.every import every_sweep

LATE_S, LATE_ROUNDS = 3_600.0, 10  # without progress: an hour, or ten rounds where those take longer


async def late(engine: AsyncEngine, sweep_s: float) -> list[Late]:
    """Those that made no progress within the bound; `sweep_s` is the pause between two rounds."""
    return await cursors.late(engine, _kinds(), max(LATE_S, LATE_ROUNDS * sweep_s))


async def ages(engine: AsyncEngine) -> dict[str, float]:
    """For how many seconds each list of Stripe's has not been read to its end."""
    return {one.kind: one.late_s for one in await cursors.late(engine, _kinds(), 0.0)}


def _kinds() -> list[str]:
    return [one.name for one in every_sweep()]
