"""Whether the API's port is free. `make run` runs this file before it downloads packages.

So it imports nothing that has to be installed.
"""

import os
import socket
import sys

from service.foundation.errors import Misconfigured

HOST, PORT = "127.0.0.1", 8000


def refuse_busy_port(host: str, port: int) -> None:
    """Raises Misconfigured where the API could not listen on that host and port."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(address[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Misconfigured(
            f"The API cannot listen on {host} port {port}: {reason}. Stop what runs there, or set EO_PORT."
        ) from error


def _main() -> int:
    """Return 2, after one line on stderr, where `eo up` could not listen; else 0. Other mistakes `eo up` reports."""
    host, port = os.environ.get("EO_HOST") or HOST, os.environ.get("EO_PORT") or str(PORT)
    try:
        if port.isascii() and port.isdigit():
            refuse_busy_port(host, int(port))
    except Misconfigured as error:
        print(f"eo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main())
