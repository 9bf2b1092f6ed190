"""The processes between the outbox and Stripe; only they know the message broker.

broker     the Dramatiq broker, with every middleware named and why
relay      outbox → broker: claim, publish
rounds     what a relay process does beside that, on a clock
throttle   Stripe's rate limit shared by the fleet, and the breaker in front of a Stripe that refuses us
identity   which Stripe this database is bound to, and whether the clocks agree
verifying  before the first send under a new life of the database: what has it forgotten?
charge     the actor: open, call, classify, settle
lookups    asking Stripe's lists where an answer was lost
main       a worker process
"""

import os

# Read by Dramatiq when it is imported: how long its consumer waits after a lost connection. Its own 3 s are a long
# time for a payment.
os.environ.setdefault("dramatiq_restart_delay", "500")
