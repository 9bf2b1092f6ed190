"""The promise: a row that stays until the effect is on the books.

rows      the life of a row: promised, claimed, opened, given back, completed
handling  what is done to rows beside that: put back, hidden, parked, retried, excused
reading   the outbox as people and health checks see it
wakeup    NOTIFY and LISTEN, so that a relay looks at once
"""

from service.outbox.handling import excuse, hasten, park, put_back, retry
from service.outbox.reading import backlog, list_rows
from service.outbox.rows import CLAIM_MAX, Claim, claim
from service.outbox.wakeup import CHANNEL, INBOX, Waker, listen

__all__ = [
    "CHANNEL",
    "CLAIM_MAX",
    "INBOX",
    "Claim",
    "Waker",
    "backlog",
    "claim",
    "excuse",
    "hasten",
    "list_rows",
    "listen",
    "park",
    "put_back",
    "retry",
]
