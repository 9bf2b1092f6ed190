"""Metrics of a process without an HTTP API: a listener of their own, on loopback unless it is said otherwise.

A proxy that passes the API on to the world passes on the API's port, and not this one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import start_http_server

from service.foundation import metrics
from service.foundation.errors import Misconfigured
from service.foundation.settings import Settings

_OFFSETS = {"relay": 0, "worker": 1}


@contextmanager
def exposed(settings: Settings, part: Literal["relay", "worker"]) -> Iterator[None]:
    """Answer Prometheus as long as the block runs, from a thread. Raises Misconfigured where the port is taken."""
    if not settings.metrics_port:
        yield
        return
    port = settings.metrics_port + _OFFSETS[part]
    try:
        server, thread = start_http_server(port, settings.metrics_host, metrics.REGISTRY)
    except OSError as error:
        raise Misconfigured(
            f"Cannot listen on {settings.metrics_host}:{port} for the {part}'s metrics: it is taken, or not an address "
            "of this machine. Give each process of a machine an EO_METRICS_PORT of its own, or set EO_METRICS_HOST."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
