"""How many connections to PostgreSQL a process of each kind holds at most; PostgreSQL must bear the sum of all.

A pool grows to its size under load and keeps it. A process that is just starting holds three, before it has its own.
"""

from collections.abc import Mapping

from service.foundation.settings import Settings

SPLITTING = 1  # a door's third kind of connection: where a batch failed and is halved
REFUNDS = 1  # a door's refunds that are stored together
WAKE_UP = 1  # a door tells the relays that something is due
READINESS = 1  # what /health/ready asks, so that no pool that hangs holds it up
RELAY = 4  # claiming, listening, fees, recovery
ROLLUP = 1  # a relay's statements that may take long
NOTICES = 2  # a worker's notices, on a loop of their own
COMMAND = 2  # an `eo` command, as long as it runs


def per_process(settings: Settings) -> Mapping[str, int]:
    """Connections by kind of process."""
    return {
        "api": settings.db_pool + settings.door_writers + SPLITTING + REFUNDS + WAKE_UP + READINESS,
        "relay": RELAY + ROLLUP,
        "worker": settings.db_pool + NOTICES,
    }
