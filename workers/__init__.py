"""The processes between the outbox and Stripe; only they know the message broker.

broker    the Dramatiq broker, with every middleware named and why
relay     outbox → broker: claim, publish; and what runs beside it on a clock
throttle  Stripe's rate limit shared by the fleet, and the breaker in front of a Stripe that refuses us
identity  which Stripe this database is bound to, and whether the clocks agree
charge    the actor: open, call, classify, settle
main      a worker process
"""
