"""Python's cycle collector, told what kind of process this is."""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def collect_rarely() -> None:
    """For a process that works on many small things: call it once, when everything is imported.

    Requests and messages leave next to no cycles behind, and Python's defaults look for them after every 700 objects:
    a fourteenth of the API's CPU and a fifth of a worker's. What was imported is never looked at again.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
