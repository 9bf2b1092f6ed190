"""The processes between the outbox and Stripe; only they know the message broker.

broker     the Dramatiq broker, with each middleware and the reason for it
relay      claims due outbox rows and publishes them to the broker
twice      a relay that publishes every message twice, for who wants to see that it does no harm
rounds     the periodic work of a relay process: fees, balances, recovery
throttle   the breaker: stops all sends of the fleet while Stripe refuses them
identity   checks that the Stripe account is this database's, and that the clocks agree
verifying  asks Stripe, before the first send under a new life of the database, what the database may have forgotten
charge     the actor: opens charges, calls Stripe, classifies the answers, settles
in_hand    the outbox rows that this process has opened and not settled
room       lets many batches run together, or one suspect alone
lookups    looks up in Stripe's lists what became of a charge whose answer was lost
notices    sends notices to producers, on a thread of its own
living     heartbeat and first question to Stripe of a worker process
cut_off    repeats a transaction whose connection to PostgreSQL was lost
quiet      filters Dramatiq's log lines while Redis is away
main       a worker process
"""

import os

# Milliseconds that Dramatiq's consumer waits after a lost connection. Dramatiq reads this when it is imported; its
# default of 3 s would delay payments.
os.environ.setdefault("dramatiq_restart_delay", "500")
