"""Duplicates that a guard absorbed: counted in memory where they happen, and added to the database every two seconds.

guards     what may happen twice, and what keeps it from having an effect twice                         [pure]
absorbing  the counts of this process since the last flush
flushing   a batch of counts, added once, by one statement
reading    the counts of the fleet, and what was absorbed of one order

Nothing is written where a duplicate is absorbed: an order costs no statement more for being counted. A process that is
killed takes the counts of its last seconds along.
"""

from service.duplicates.absorbing import absorbed
from service.duplicates.flushing import Flusher
from service.duplicates.guards import Guard
from service.duplicates.reading import Absorbed, forget, of_order, totals

__all__ = ["Absorbed", "Flusher", "Guard", "absorbed", "forget", "of_order", "totals"]
