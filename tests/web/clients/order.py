"""A producer on the client that openapi-python-client has generated. Not imported by tests: run beside that client."""

import json
import os

from effectively_once_client.api.orders import create_order, get_order, list_orders
from effectively_once_client.client import AuthenticatedClient
from effectively_once_client.models import Currency, Order, OrderPage, OrderRequest, ProblemBody
from effectively_once_client.models.order_status import OrderStatus

client = AuthenticatedClient(base_url=os.environ["API"], token=os.environ["KEY"])
wanted = OrderRequest(amount=1999, currency=Currency.USD, payment_method="pm_card_visa")
placed = create_order.sync(client=client, body=wanted, idempotency_key="generated-python")
assert isinstance(placed, Order), placed
read = get_order.sync(placed.id, client=client)
assert isinstance(read, Order), read
assert read == placed
page = list_orders.sync(client=client, status=OrderStatus.PENDING)
assert isinstance(page, OrderPage), page
other = OrderRequest(amount=5000, currency=Currency.USD, payment_method="pm_card_visa")
refused = create_order.sync(client=client, body=other, idempotency_key="generated-python")
assert isinstance(refused, ProblemBody), refused
print(json.dumps({"id": str(read.id), "listed": [str(o.id) for o in page.data], "refused": refused.type_.value}))
