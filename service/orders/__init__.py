"""An order: its shapes, its key, and how it is stored together with its outbox row.

model         the shapes, as producers send them and as they are shown
keys          the idempotency key, as producers spell it                                                       [pure]
identity      the fingerprint of a request, and the key that Stripe is sent                                    [pure]
group_commit  whoever waits at the same time is stored by one statement
together      the same for what is asked of orders
store         the order and its outbox row, in one statement
reading       one order, a page of them, and which keys are known
all_accounts  orders as operators see them
timeline      what happened to an order; told_of_effects: what was done at Stripe; told_by_stripe: its events;
              told_by_banks: what its customer's bank says; told_to_producers: what its producer was told; why_waiting
"""

from service.orders.group_commit import GroupCommit
from service.orders.model import Order, OrderPage, OrderRequest, check_order
from service.orders.reading import exists, get, known_keys, page, settled
from service.orders.store import Candidate, Placed, lock, place
from service.orders.timeline import timeline

__all__ = [
    "Candidate",
    "GroupCommit",
    "Order",
    "OrderPage",
    "OrderRequest",
    "Placed",
    "check_order",
    "exists",
    "get",
    "known_keys",
    "lock",
    "page",
    "place",
    "settled",
    "timeline",
]
