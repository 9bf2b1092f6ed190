"""Disputes and early fraud warnings: what a customer's bank says of a payment, as Stripe shows it now (R38).

Nothing is sent: evidence is given at Stripe. Stripe's object moves the dispute's row and what its order counts as
disputed; what moves money is a balance transaction, and is booked elsewhere.

model      the shapes, as they are shown
seen       an object of Stripe's, and when Stripe was asked for it                                        [pure]
belonging  whose payment it is about
settling   disputes: the row, the order's sum, and what a decision books
closing    what is lost for good, and what is no longer
warnings   early fraud warnings
telling    who wants to know of them is told
known      which of them a listing must show
sweep      what no event told, found by lists
again      those that moved on since they were listed
reading    one dispute, and a page of them
"""

from service.disputes.again import look_again
from service.disputes.closing import close
from service.disputes.model import Dispute, DisputePage, FraudWarning
from service.disputes.reading import get, page
from service.disputes.seen import Seen
from service.disputes.settling import settle, why_not
from service.disputes.sweep import DisputeSweep, WarningSweep
from service.disputes.warnings import settle_warnings

__all__ = [
    "Dispute",
    "DisputePage",
    "DisputeSweep",
    "FraudWarning",
    "Seen",
    "WarningSweep",
    "close",
    "get",
    "look_again",
    "page",
    "settle",
    "settle_warnings",
    "why_not",
]
