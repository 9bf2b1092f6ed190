"""What producers are told, so that nobody has to poll: signed notices, at least once, in no guaranteed order (R39).

model      the types of notices, a fact, and the id that is always the same for it                       [pure]
telling    a notice per endpoint, written in the transaction that makes the fact true
endpoints  where a producer is told; its secret, made and rolled
addresses  which URLs and which addresses are called at all                                              [pure]
signing    the Standard Webhooks scheme, by its library                                                  [pure]
lanes      the life of a notice: due, in hand, delivered or due again; each endpoint a lane of its own
posting    one POST to a receiver that nobody trusts
reading    notices as an operator sees them, resends or parks them
"""

from service.notices.model import NOTICE_TYPES, Fact, NoticeType
from service.notices.reading import Waiting, list_notices, park, resend, waiting
from service.notices.telling import is_heard, tell, tell_of_orders

__all__ = [
    "NOTICE_TYPES",
    "Fact",
    "NoticeType",
    "Waiting",
    "is_heard",
    "list_notices",
    "park",
    "resend",
    "tell",
    "tell_of_orders",
    "waiting",
]
