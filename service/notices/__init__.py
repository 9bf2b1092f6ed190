"""What producers are told, so that nobody has to poll: signed notices, at least once, in no guaranteed order (R39).

model    the types of notices, a fact, and the id that is always the same for it
telling  a notice per endpoint, written in the transaction that makes the fact true
"""

from service.notices.model import NOTICE_TYPES, Fact, NoticeType
from service.notices.telling import is_heard, tell, tell_of_orders

__all__ = ["NOTICE_TYPES", "Fact", "NoticeType", "is_heard", "tell", "tell_of_orders"]
