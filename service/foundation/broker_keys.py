"""The names of the broker's keys in Redis, for the workers, which use them, and for readiness, which probes them."""

NAMESPACE = "{dramatiq}"  # the braces keep every key in one slot of a Redis Cluster
CHARGE_QUEUE = "charge"
QUEUE_KEY = f"{NAMESPACE}:{CHARGE_QUEUE}"  # Dramatiq's list of the ids of waiting messages
MESSAGES_KEY = f"{QUEUE_KEY}.msgs"  # the bodies of these messages
CONSUMERS_KEY = f"{NAMESPACE}:__heartbeats__"  # Dramatiq's own heartbeats, one per connection
