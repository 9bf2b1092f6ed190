"""Who sent a request: the peer, or whom proxies that are trusted name. Pure.

Each proxy appends the address that it was called from to X-Forwarded-For, so the header is read from its end, as long
as it was written by a proxy of EO_TRUSTED_PROXIES. What stands before that is the client's own word.
"""

from collections.abc import Iterable

from service.foundation.addresses.networks import Address, Networks, address, is_in


def client_of(peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted: Networks) -> str | None:
    """The address that sent it, as a text; None where a proxy on a socket in a folder sent it."""
    found = address(peer or "")
    if found is None or not is_in(trusted, found):
        return peer
    for hop in reversed(_hops(headers)):
        named = _address_of(hop)
        if named is None:
            break
        found = named
        if not is_in(trusted, found):
            break
    return str(found)


def _hops(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    lines = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return [hop.strip() for hop in ",".join(lines).split(",")] if lines else []


def _address_of(hop: str) -> Address | None:
    """Some proxies write a port behind the address."""
    if hop.startswith("["):
        return address(hop[1:].partition("]")[0])
    return address(hop if hop.count(":") != 1 else hop.partition(":")[0])
