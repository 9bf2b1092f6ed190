"""Whether anything moves: for readiness, `eo status` and container health checks.

heartbeats   when each process last moved, noted in Redis
probes       whether PostgreSQL stores, and the broker takes, at this moment
readiness    whether an order can be accepted and paid, for one API process
overview     one installation in numbers
gauges       what the database and Redis know, for Prometheus
exposing     the metrics of a process without an HTTP API
"""

from service.monitoring.exposing import exposed
from service.monitoring.gauges import GAUGES, Gauges
from service.monitoring.heartbeats import SILENT_S, Beat, Heart, Process
from service.monitoring.overview import Overview
from service.monitoring.probes import BrokerProbe, BrokerState, DatabaseProbe, OutboxState
from service.monitoring.readiness import Readiness, ReadyCheck

__all__ = [
    "GAUGES",
    "SILENT_S",
    "Beat",
    "BrokerProbe",
    "BrokerState",
    "DatabaseProbe",
    "Gauges",
    "Heart",
    "OutboxState",
    "Overview",
    "Process",
    "Readiness",
    "ReadyCheck",
    "exposed",
]
