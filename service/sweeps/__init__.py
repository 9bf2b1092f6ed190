"""Stripe's lists, read again and again: what no event told is found within minutes (R38).

every     all kinds that are swept; each room brings its own (`service.effects.Sweep`)
sweeping  one sweep of one list, in chunks, proven complete (R35)
cursors   how far each list is read

With all events dropped, or all of them doubled, the sweeps bring the database to the same state.
"""

from service.sweeps.every import every_sweep
from service.sweeps.sweeping import Sweeping

__all__ = ["Sweeping", "every_sweep"]
