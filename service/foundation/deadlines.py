"""The bound of each wait (R34), in seconds where the name says nothing else.

This process enforces these bounds itself: the server's timeouts and the kernel's fifteen minutes play no part. A
connection that missed a bound is dropped (`service.foundation.postgres.driver`), because an answer to an earlier
question may still be on its way on it.

Calls to Stripe and their leases have settings instead (`service.foundation.settings`), for people to fit to their
network.
"""

import os
import socket
import threading
from typing import Any

from service.foundation import log
from service.foundation.events import Event

CONNECT_S = 2.0  # one host: TCP, TLS, password and session settings; then the next host is tried
CHECKOUT_S = 5.0  # a free connection of a pool, or a free slot of the server
STATEMENT_S = 10.0  # one statement or one COMMIT of api, relay and worker, which usually takes milliseconds
COMMAND_S = 30.0  # one statement of an `eo` command, for which a person waits
TRANSACTION_STATEMENTS = 3  # a transaction may last as long as so many statements that each take all their time
LONG_STATEMENT_S = 3_600.0  # a statement that reads whole books: rollups, verification, reconciliation, a migration
DOOR_BATCH_S = 5.0  # connection, statement and COMMIT of a batch of orders; then their producers are answered 503
KEY_CHECK_S = 5.0  # one look-up of an API key, shared by all requests that have this key
WAIT_FOR_POSTGRES_S = 30.0  # a worker with a message in its hands; below the charge lease, which it must not outlive
LISTENER_ASKED_S = 10.0  # between two statements on the connection that listens for wake-ups, to know that it lives
DURABLE_ASKED_S = 5.0  # between two looks whether PostgreSQL still keeps what it commits
PROBE_S = 2.0  # one probe of readiness; a server that needs longer is not ready
REDIS_S = 2.0  # connecting, and one answer; above what an idle worker waits there for a message

CLOSE_S = 1.0  # closing all connections of a pool
STOP_S = 5.0  # the work under way at SIGTERM; docs promise that a process is gone ten seconds after it
EXIT_S = 9.0  # then the process ends in any case: a thread may wait for a resolver that never answers

# With these options the kernel notices a peer that acknowledges nothing, also on sockets that nothing is written to.
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
    """End this process in `seconds`, unless it has ended by itself. It is called when the process is told to stop.

    Nothing is lost: work that is cut off is left as a crash leaves it, and comes back through the outbox.
    """
    timer = threading.Timer(seconds, _exit)
    timer.daemon = True
    timer.start()


def _exit() -> None:
    log.event(Event.STOP_CUT_SHORT)
    os._exit(0)
