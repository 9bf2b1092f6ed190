"""Which lists have not been swept for so long that somebody should look."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.sweeps import cursors
from service.sweeps.cursors import Late
from service.sweeps.every import every_sweep

LATE_S, LATE_ROUNDS = 3_600.0, 10  # without progress: an hour, or ten rounds where those take longer


async def late(engine: AsyncEngine, sweep_s: float) -> list[Late]:
    """Those that made no progress within the bound; `sweep_s` is the pause between two rounds."""
    kinds = [one.name for one in every_sweep()]
    return await cursors.late(engine, kinds, max(LATE_S, LATE_ROUNDS * sweep_s))
