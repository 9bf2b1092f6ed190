"""Compares three sides: our orders and charges, our ledger, and Stripe's own list of PaymentIntents.

window    the time that a run looks at; fixed before either side is read                                [pure]
sources   copies Stripe's side into a staging table, by listing and by id
sql       the statements of the comparison, table by table
findings  the statements that name each difference, by precedence, and until when it may disappear
compare   runs the statements of both, in one snapshot
balance   the proof that Stripe's balance is the ledger's, per currency; in_flight: what one side has before the other
classes   the classes of discrepancies, and what an operator does next                                  [pure]
healing   books payments that Stripe proves; acknowledging: a person accepts a discrepancy as it is
store     stores runs and discrepancies, so that a discrepancy keeps its age across runs
results   what a run found
run       one reconciliation, from the clock to the verdict
report    a report as a table, JSON or CSV
"""

from service.reconcile.results import Discrepancy, Report
from service.reconcile.run import CutShort, reconcile
from service.reconcile.sources import Gateway
from service.reconcile.window import Span, Window

__all__ = ["CutShort", "Discrepancy", "Gateway", "Report", "Span", "Window", "reconcile"]
