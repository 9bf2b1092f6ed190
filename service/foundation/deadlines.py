"""How long each wait may last (R34). Every bound stands here, in seconds where its name does not say otherwise.

The bounds are ours: neither the server's timeouts nor the kernel's fifteen minutes count. A connection that missed one
is thrown away (`service.foundation.postgres.driver`), because nobody knows what still travels on it.

Calls to Stripe and their leases have knobs instead (`service.foundation.settings`): people tune those to their network.
"""

import os
import socket
import threading
from typing import Any

from service.foundation.events import Event
from service.foundation.log import event

CONNECT_S = 2.0  # one host: TCP, TLS, password and session settings; then the next host is tried
CHECKOUT_S = 5.0  # a free connection of a pool, or a free slot of the server
STATEMENT_S = 10.0  # one statement or one COMMIT of api, relay and worker; such a one takes milliseconds
COMMAND_S = 30.0  # one statement of an `eo` command, for a person who waits
LONG_STATEMENT_S = 3_600.0  # what reads whole books: rollups, verification, reconciliation, a migration
DOOR_BATCH_S = 5.0  # connection, statement and COMMIT of orders whose producers wait; then they hear 503
KEY_CHECK_S = 5.0  # the one question that all requests with the same API key share
WAIT_FOR_POSTGRES_S = 30.0  # a worker with a message in its hands; below the charge lease, which it must not outlive
LISTENER_ASKED_S = 10.0  # between two questions to the connection that hears wake-ups and is never spoken to else
DURABLE_ASKED_S = 5.0  # between two looks whether PostgreSQL still keeps what it commits
PROBE_S = 2.0  # what readiness does of an order's work, once; what needs longer is not ready
REDIS_S = 2.0  # connecting, and one answer; above what an idle worker waits there for a message

CLOSE_S = 1.0  # saying goodbye to all connections of a pool
STOP_S = 5.0  # what is under way at SIGTERM; docs promise that a process is gone ten seconds after it
EXIT_S = 9.0  # then the process ends whatever it waits for: a thread may sit in a resolver that never answers

# The kernel's part: it notices a peer that acknowledges nothing, also for sockets that nobody writes to.
TCP_USER_TIMEOUT_MS = 10_000
_KEEPALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))  # silent for 5 s, then 3 probes


def watch_peer(sock: Any) -> None:
    """Make the kernel end a TCP connection whose peer is silent; other sockets stay as they are."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", TCP_USER_TIMEOUT_MS)):
        if (option := getattr(socket, name, None)) is not None:  # not every system has each of them
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def watched_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address as `getaddrinfo` tells it, whose peer the kernel watches (for aiohttp)."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    watch_peer(made)
    return made


def exit_within(seconds: float = EXIT_S) -> None:
    """End this process in `seconds`, unless it has ended by itself. To be called once it was told to stop.

    Nothing is lost: whatever is stopped in the middle is what a crash leaves, and comes back through the outbox.
    """
    timer = threading.Timer(seconds, _exit)
    timer.daemon = True
    timer.start()


def _exit() -> None:
    event(Event.STOP_CUT_SHORT)
    os._exit(0)
