"""What a process counts and measures of itself, in the registry that Prometheus reads.

A metric is declared here once, with its help. docs/reference/metrics.md shows all of them, written from here and from
`service.monitoring.gauges`, which has what the database knows. Labels are words of ours, routes and statuses: never an
id, so that the number of series is bounded.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily

from service.foundation import log

disable_created_metrics()  # type: ignore[no-untyped-call]  # its types are not published; a series more for each
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)  # process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, …

# Seconds: a quick database on the left, what Stripe may take on the right.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_SETTLE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0)

_REQUESTS = Counter(
    "eo_http_requests",
    "HTTP requests that were answered, by the route's template; status none: nobody was answered.",
    ("route", "method", "status"),
    registry=REGISTRY,
)
_REQUEST_SECONDS = Histogram(
    "eo_http_request_duration_seconds",
    "How long answering took, by the route's template; a wait that the producer wished for is in it.",
    ("route",),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_STRIPE_SECONDS = Histogram(
    "eo_stripe_request_duration_seconds",
    "Calls to Stripe, by the name under which their rate is counted; status none: no answer of Stripe's came.",
    ("operation", "status"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_OUTCOMES = Counter(
    "eo_effects_settled",
    "Answers that were stored, by what was asked of Stripe and the state that it came to.",
    ("kind", "outcome"),
    registry=REGISTRY,
)
SETTLE_SECONDS = Histogram(
    "eo_order_settle_duration_seconds",
    "From an order's acceptance to its first final answer, by the database's and the worker's clocks.",
    buckets=_SETTLE_BUCKETS,
    registry=REGISTRY,
)
CLOCK_DIFFERENCE = Gauge(
    "eo_stripe_clock_difference_seconds",
    "Stripe's Date in the last answer less the database's clock before the call; the call's duration is in it.",
    registry=REGISTRY,
)
PUBLISHED = Counter(
    "eo_outbox_published",
    "Outbox rows that a relay handed to the broker.",
    registry=REGISTRY,
)
REPUBLISHED = Counter(
    "eo_outbox_republished",
    "Of these, rows that had been published before, and nobody had answered for.",
    registry=REGISTRY,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})  # whatever else a client sends is "other"


class _Lines:
    """What the log has counted, which knows no Prometheus."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One family."""
        family = CounterMetricFamily(
            "eo_log_events",
            "Lines of the log of level warning and above, by their event (docs/reference/log-events.md).",
            labels=("event", "level"),
        )
        for (event, level), lines in list(log.COUNTED.items()):
            family.add_metric((event, level), lines)
        yield family


REGISTRY.register(_Lines())


class _Request(NamedTuple):
    """The series of one kind of request."""

    requests: Counter
    seconds: Histogram


@cache
def _request(route: str, method: str, status: int | None) -> _Request:
    known = method if method in _METHODS else "other"
    return _Request(
        _REQUESTS.labels(route, known, "none" if status is None else str(status)), _REQUEST_SECONDS.labels(route)
    )


def request(route: str, method: str, status: int | None, seconds: float) -> None:
    """An HTTP request was answered. `route` is a template, never a path."""
    one = _request(route, method, status)
    one.requests.inc()
    one.seconds.observe(seconds)


@cache
def _stripe(operation: str, status: int | None) -> Histogram:
    return _STRIPE_SECONDS.labels(operation, "none" if status is None else str(status))


def stripe_call(operation: str, status: int | None, seconds: float) -> None:
    """Stripe was called."""
    _stripe(operation, status).observe(seconds)


@cache
def _outcome(kind: str, outcome: str) -> Counter:
    return _OUTCOMES.labels(kind, outcome)


def settled(kind: str, outcome: str) -> None:
    """An answer was stored."""
    _outcome(kind, outcome).inc()
