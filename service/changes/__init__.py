"""Changes of a payment that exists: its capture, its cancellation, and another attempt after a decline.

model     the requests, as producers send them
asking    a capture or a cancellation is judged, and promised by an outbox row
paying    another attempt after a definitive decline is judged, and promised
effect    a change between opening and settling                                                          [pure]
kind      a change as a kind of effect
answers   what the state of a PaymentIntent says about it                                                [pure]
settling  the change, the charge that its PaymentIntent proves, and what is owed next
"""

from service.changes.asking import Changed, cancel, capture
from service.changes.effect import OpenChange
from service.changes.kind import CHANGE
from service.changes.model import CancelRequest, CaptureRequest, PayRequest, check_change
from service.changes.paying import pay

__all__ = [
    "CHANGE",
    "CancelRequest",
    "CaptureRequest",
    "Changed",
    "OpenChange",
    "PayRequest",
    "cancel",
    "capture",
    "check_change",
    "pay",
]
