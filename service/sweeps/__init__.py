"""Stripe's lists, read again and again: what no event told is found within minutes (R38).

every     all kinds that are swept; each room brings its own (`service.effects.Sweep`)
sweeping  one sweep of one list, in chunks, proven complete (R35)
cursors   how far each list is read; lateness: which were not read for long

With all events dropped, or all of them doubled, the sweeps bring the database to the same state.
"""

from service.sweeps.cursors import Late
from service.sweeps.every import every_sweep
from service.sweeps.lateness import ages, late
from service.sweeps.sweeping import Sweeping

__all__ = ["Late", "Sweeping", "ages", "every_sweep", "late"]
