"""What Stripe tells us: events are stored before they are acknowledged, and make an object dirty; they are no facts.

reading    an event, reduced to what is kept of it                                                      [pure]
storing    each event once, those that arrive together by one statement
due        the events that are to be looked at, and what became of each
sorting    what follows from an event alone, and which object is to be read for the others
following  which objects are followed, and what is decided about an event                               [pure]
asking     dirty objects, read from Stripe by lists
payments   events about PaymentIntents; money_back: about refunds; others: about what is Stripe's own
settling   a round of all that, beside the sweeps
looking    the inbox as operators see it
syncing    what Stripe could not deliver, fetched from its list

An event is a hint that its object is to be read (R38). What no event told the sweeps find, so that an event that is
lost costs a minute and nothing else.
"""

from service.inbox.reading import NoEvent, Told, read
from service.inbox.settling import Settling
from service.inbox.storing import Inbox

__all__ = ["Inbox", "NoEvent", "Settling", "Told", "read"]
