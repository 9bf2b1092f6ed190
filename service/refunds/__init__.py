"""Refunds: money that goes back, each once, and never more than was taken.

effect    a refund between opening and settling                                                          [pure]
kind      a refund as a kind of effect
answers   what Stripe's word about a refund means                                                        [pure]
settling  the refund, its order's sums, and the bookings of what moved
"""

from service.refunds.answers import judge_lookup, judge_refund
from service.refunds.effect import OpenRefund
from service.refunds.kind import REFUND

__all__ = ["REFUND", "OpenRefund", "judge_lookup", "judge_refund"]
