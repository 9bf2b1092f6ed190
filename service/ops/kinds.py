"""The kinds of process. A new kind is one line here, beside the module that it runs.

From that line its name becomes a command of `eo`, `eo up` starts, restarts and stops one such process, `eo status` and
`eo healthy` know it, and an Installation, which tests, benchmarks and the demonstration use, starts any number of it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of process of ours.

    module: what its command runs. stage: kinds with the same number start together, after all with a smaller number.
    health: the path that answers 200 when it is ready; a kind without one writes a line with the word `ready`.
    """

    name: str
    summary: str
    module: str
    stage: int
    health: str = ""


# In the order in which they stop: a process that hands work on stops before the one that receives it.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            # The API starts last, so that its first 200 means that all other parts run.
            Kind("api", "Run the HTTP API.", "service.web", stage=2, health="/health/ready"),
            Kind("relay", "Run the outbox relay.", "workers.relay", stage=1),
            Kind("worker", "Run one charge worker; start more processes for more.", "workers.main", stage=1),
        )
    }
)

# What `eo up` starts: the parts of a stage together, each stage after the one before it is ready.
START_ORDER = (
    ("postgres",),
    ("migrate", "redis", "sandbox"),
    *(
        tuple(kind.name for kind in KINDS.values() if kind.stage == stage)
        for stage in sorted({kind.stage for kind in KINDS.values()})
    ),
)
STOP_ORDER = (*KINDS, "sandbox", "redis", "postgres", "migrate")
PARTS = tuple(name for stage in START_ORDER for name in stage if name != "migrate")
