"""Whether an address is this machine's alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a server that listens on this host is reached from this machine alone."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
