"""What Stripe tells us: events are stored before they are acknowledged, and make an object dirty; they are no facts.

reading    an event, reduced to what is kept of it                                                      [pure]
storing    each event once, those that arrive together by one statement
"""

from service.inbox.reading import NoEvent, Told, read
from service.inbox.storing import Inbox

__all__ = ["Inbox", "NoEvent", "Told", "read"]
