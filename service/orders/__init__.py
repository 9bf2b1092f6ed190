"""An order: its shapes, its key, and how it is stored together with its outbox row.

model         the shapes, as producers send them and as they are shown
keys          the idempotency key: its spelling, the fingerprint of a request, the key on the wire to Stripe   [pure]
group_commit  whoever waits at the same time is stored by one statement
store         the order and its outbox row, in one statement
timeline      what happened to an order; why_waiting: what it waits for
"""

from service.orders.group_commit import Door
from service.orders.model import Order, OrderRequest, check_order
from service.orders.store import Candidate, Placed, get, lock, page, place, settled
from service.orders.timeline import timeline

__all__ = [
    "Candidate",
    "Door",
    "Order",
    "OrderRequest",
    "Placed",
    "check_order",
    "get",
    "lock",
    "page",
    "place",
    "settled",
    "timeline",
]
