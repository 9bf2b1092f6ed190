"""Networks as a setting names them, and who is in one. Pure."""

from collections.abc import Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.foundation.errors import Misconfigured

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

_MAPPED = IPv6Network("::ffff:0:0/96")


@cache
def check_networks(text: str) -> Networks:
    """The networks of EO_TRUSTED_PROXIES. Raises Misconfigured."""
    try:
        return tuple(_unmapped(ip_network(one.strip())) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise Misconfigured(
            "EO_TRUSTED_PROXIES must be addresses or networks by commas, say 10.0.0.7, 10.1.0.0/16 or fd00::/8, "
            "without bits behind the mask."
        ) from error


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The same as IPv4 where it is IPv4 in IPv6's clothes: addresses are compared as `address` reads them."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return ip_network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def address(text: str) -> Address | None:
    """The address that a text is; an IPv4 address in IPv6's clothes is that IPv4 address."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def is_in(networks: Networks, one: Address) -> bool:
    """Whether the address is in one of the networks."""
    return any(one in network for network in networks if network.version == one.version)
