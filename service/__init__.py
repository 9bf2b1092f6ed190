"""effectively-once: orders that are charged once, on a network that only promises at-least-once.

The rooms, in the order of one order's life:

web             HTTP: POST /v1/orders and its neighbours
orders          the order: its shapes, its key, stored with its outbox row by one statement
outbox          the promise: a row that stays until the effect is on the books
charges         the guard: open under a unique index, settle under a token
stripe_gateway  the only room that talks to Stripe
ledger          double entry: what Stripe did, booked once, never changed
recovery        a database that forgot asks Stripe before it speaks
reconcile       ours against Stripe's, and an exit code

Beside them: accounts (API keys), monitoring (whether anything moves), ops (the command `eo` and what it starts).
Below them: foundation (settings, errors, addresses, PostgreSQL, text), and states: every state of an order and of a
charge, and what may follow it. A room's first lines say what is in it.
The relay and the charge worker live in `workers`, because only they may know the message broker.
"""

__version__ = "0.1.0"
