"""Ours against Stripe's, and an exit code: orders and charges, ledger, and Stripe's own list, compared three ways.

window    which time is looked at; fixed before either side is read                                     [pure]
sources   Stripe's side into a staging table, by listing and by id
sql       the comparison, table by table
findings  what differs: the order of precedence, and what may still heal by itself
compare   runs both, in one snapshot
classes   the classes, and what an operator does next                                                   [pure]
healing   what Stripe's own success puts right; acknowledging: what a human accepts as it is
store     runs and discrepancies on record, so that an age survives
run       one reconciliation, from the clock to the verdict
report    table, JSON, CSV
"""

from service.reconcile.run import CutShort, Discrepancy, Report, reconcile
from service.reconcile.sources import Gateway
from service.reconcile.window import Span, Window

__all__ = ["CutShort", "Discrepancy", "Gateway", "Report", "Span", "Window", "reconcile"]
