"""The names of the broker's keys in Redis: the workers use them, readiness asks about them."""

NAMESPACE = "{dramatiq}"  # the braces keep every key in one slot of a Redis Cluster
CHARGE_QUEUE = "charge"
QUEUE_KEY = f"{NAMESPACE}:{CHARGE_QUEUE}"  # Dramatiq's list of the ids of messages that wait
MESSAGES_KEY = f"{QUEUE_KEY}.msgs"  # their bodies
CONSUMERS_KEY = f"{NAMESPACE}:__heartbeats__"  # Dramatiq's own beats, of each connection
