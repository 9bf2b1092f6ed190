"""Which kinds of process there are. A new kind is a line here, beside the module that it runs.

By that line its name is a command of `eo`; `eo up` starts one of it, brings it back and stops it in its turn;
`eo status` and `eo healthy` know it; and an Installation, which tests, benchmarks and the demonstration use,
starts any number of it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of process of ours.

    module: what its command runs. stage: kinds of the same number start together, after all with a smaller one.
    health: the path that answers 200 once it is ready; where it has none, it writes a line with the word `ready`.
    """

    name: str
    summary: str
    module: str
    stage: int
    health: str = ""


# In the order in which they stop, which is an order's way: who hands work on ends before who takes it.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            # The API starts last: its first 200 means that everything is there.
            Kind("api", "Run the HTTP API.", "service.web", stage=2, health="/health/ready"),
            Kind("relay", "Run the outbox relay.", "workers.relay", stage=1),
            Kind("worker", "Run one charge worker; start more processes for more.", "workers.main", stage=1),
        )
    }
)

# What `eo up` starts, in its order: a stage waits for the one before it.
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
