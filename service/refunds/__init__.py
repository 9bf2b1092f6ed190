"""Refunds: money that goes back, each once, and never more than was taken.

model     the shapes, as producers send them and as they are shown
asking    a refund is judged under its order's lock, and promised by an outbox row
disputed  what a dispute says against it
placing   those that are asked for at the same time, by one statement
reading   one refund, a page of them, those of one order
effect    a refund between opening and settling                                                          [pure]
ending    a refund that only a human can end
telling   its producer is told that it has come to an end
kind      a refund as a kind of effect
answers   what Stripe's word about a refund means                                                        [pure]
booking   what it has on the books, also of a charge that is settled in another currency
settling  the refund, its order's sums, and the bookings of what moved
known     which refunds a listing must show
"""

from service.refunds.answers import judge_lookup, judge_refund
from service.refunds.asking import Refunded, refund
from service.refunds.booking import book_moved
from service.refunds.effect import OpenRefund
from service.refunds.kind import REFUND
from service.refunds.known import known_refunds, known_refunds_of
from service.refunds.model import Refund, RefundPage, RefundRequest, check_refund
from service.refunds.placing import RefundDoor
from service.refunds.previewing import Preview, preview
from service.refunds.reading import ended, get, page, page_of_order
from service.refunds.telling import tell_of_refunds

__all__ = [
    "REFUND",
    "OpenRefund",
    "Preview",
    "Refund",
    "RefundDoor",
    "RefundPage",
    "RefundRequest",
    "Refunded",
    "book_moved",
    "check_refund",
    "ended",
    "get",
    "judge_lookup",
    "judge_refund",
    "known_refunds",
    "known_refunds_of",
    "page",
    "page_of_order",
    "preview",
    "refund",
    "tell_of_refunds",
]
