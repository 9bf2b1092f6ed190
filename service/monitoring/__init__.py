"""Whether anything moves: for readiness, `eo status` and container health checks.

heartbeats   when each process last moved, noted in Redis
probes       whether PostgreSQL stores, and the broker takes, at this moment
overview     one installation in numbers
"""
