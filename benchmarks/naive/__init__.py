"""The usual way to write this card, written honestly and well: what the product's throughput is compared with.

A Litestar handler stores the order through the ORM, a transaction per request, and sends a Dramatiq message after the
commit. A thread of a worker loads the order, calls Stripe with the SDK as it comes, and books the result, a transaction
per step. It is idempotent by its unique keys, and knows no outbox: what dies between commit and send is lost.

The one thing that is not usual: the only PostgreSQL driver here is an asynchronous one, so each worker thread keeps an
event loop of its own to use it. That costs about a tenth of a millisecond of the eleven an order takes.
"""
