"""Faults that `eo up` injects into its own parts where the sandbox is one of them (service.chaos says what is asked).

hotline      the socket: only this user may ask
engine       the faults at work, one step at each look of the supervisor
hands        what a fault may do: signals, held parts, the sandbox's fault plans
deeds        kill a part, lose replies, empty Redis, double everything
on_workers   kill or freeze a worker that has just charged
on_the_data  keep a copy of the database, put it back, let a day pass

Everything happens in the supervisor's one thread, because children must be started from it. So a fault is a generator:
it yields where it waits, and its `finally` heals what it did, also when `eo up` is stopped in the middle.
"""

from service.ops.chaos.engine import Chaos

__all__ = ["Chaos"]
