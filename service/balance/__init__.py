"""The backbone: each movement of Stripe's balance is booked once, or stands in suspense, loudly.

sweep       the list of balance transactions, read from a cursor on
looking     between two sweeps: what charges of the last seconds wait for
booking     one page of movements: stored, explained, booked
explaining  what explains a movement; of_charges, of_refunds: each source its own; every: which one it is
movements   the table; reading: what of it has no booking

An object of Stripe's says what a dispute or a payout is; only its balance transactions say what was paid. So the
ledger's `assets:stripe:balance` equals Stripe's balance at any cut-off.
"""

from service.balance.booking import Booked, book_shown, book_waiting
from service.balance.looking import Looking
from service.balance.reading import OpenMovement, open_movements
from service.balance.sweep import BalanceLists, BalanceSweep

__all__ = [
    "BalanceLists",
    "BalanceSweep",
    "Booked",
    "Looking",
    "OpenMovement",
    "book_shown",
    "book_waiting",
    "open_movements",
]
