"""Changes of a payment that exists: its capture, its cancellation, and another attempt after a decline.

effect    a change between opening and settling                                                          [pure]
kind      a change as a kind of effect
answers   what the state of a PaymentIntent says about it                                                [pure]
settling  the change, the charge that its PaymentIntent proves, and what is owed next
"""

from service.changes.effect import OpenChange
from service.changes.kind import CHANGE

__all__ = ["CHANGE", "OpenChange"]
