"""Payouts: money that leaves Stripe's balance for the bank, of the whole installation; followed, never asked for.

model      the shapes, as they are shown
reading    one payout, a page of them, a page of what is in one
following  what Stripe's word about a payout means                                                       [pure]
settling   what Stripe shows, onto the rows and the books
contents   which movements of Stripe's balance are in a payout
known      what a listing must show, and what may still change
sweep      the list that is read again and again
"""

from service.payouts.known import MAY_CHANGE
from service.payouts.model import Payout, PayoutEntry, PayoutEntryPage, PayoutPage
from service.payouts.reading import entries, get, page
from service.payouts.settling import may_follow, settle
from service.payouts.sweep import PayoutSweep

__all__ = [
    "MAY_CHANGE",
    "Payout",
    "PayoutEntry",
    "PayoutEntryPage",
    "PayoutPage",
    "PayoutSweep",
    "entries",
    "get",
    "may_follow",
    "page",
    "settle",
]
