"""The backbone: each movement of Stripe's balance is booked once, or stands in suspense, loudly.

sweep       the list of balance transactions, read from a cursor on
opening     what the balance was before this installation, booked once; quiet: a moment in which it holds still
looking     between two sweeps: what charges of the last seconds wait for
booking     one page of movements: stored, explained, booked
explaining  what explains a movement; of_charges, of_refunds: each source its own; every: which one it is
movements   the table; reading: what of it has no booking; gateway: what is asked of Stripe

An object of Stripe's says what a dispute or a payout is; only its balance transactions say what was paid. So the
ledger's `assets:stripe:balance` equals Stripe's balance at any cut-off.
"""

from service.balance.booking import UNKNOWN_CATEGORY, Booked, book_shown, book_waiting
from service.balance.gateway import BalanceGateway, BalanceLists
from service.balance.looking import Looking
from service.balance.quiet import Still, hold_still
from service.balance.reading import OpenMovement, open_movements
from service.balance.sweep import BalanceSweep

__all__ = [
    "UNKNOWN_CATEGORY",
    "BalanceGateway",
    "BalanceLists",
    "BalanceSweep",
    "Booked",
    "Looking",
    "OpenMovement",
    "Still",
    "book_shown",
    "book_waiting",
    "hold_still",
    "open_movements",
]
