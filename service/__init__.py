"""effectively-once: orders that are charged once, and refunded once, where a network only promises at-least-once.

The rooms, in the order of one order's life:

web             HTTP: POST /v1/orders and its neighbours
orders          the order: its shapes, its key, stored with its outbox row by one statement
outbox          the promise: a row that stays until the effect is on the books
effects         the protocol of whatever is done at Stripe: open, look up, settle under a token
charges         an order's money is taken: one charge per attempt, under a unique index
changes         what is held is captured or let go; another attempt after a decline
refunds         money goes back, never more than was taken
disputes        what customers contest at their banks, as Stripe shows it now
payouts         what leaves Stripe's balance for the bank, and which orders are in it
stripe_gateway  the only room that talks to Stripe
notices         what producers are told: signed, at least once, to endpoints of their own
ledger          double entry: what Stripe did, booked once, never changed
recovery        a database that forgot asks Stripe before it speaks
inbox           what Stripe tells: a hint that an object is to be read, stored before it is acknowledged
sweeps          Stripe's lists, read again and again: what no event told is found within minutes
reconcile       ours against Stripe's, and an exit code

Beside them: accounts (API keys), audit (what operators did), duplicates (what the guards absorbed), monitoring (whether
anything moves), ops (the command `eo` and what it starts).
Below them: foundation (settings, errors, addresses, PostgreSQL, text), and states: every state of an order, a charge, a
change and a refund, and what may follow it. A room's first lines say what is in it.
The relay and the charge worker live in `workers`, because only they may know the message broker.
"""

__version__ = "0.1.0"
