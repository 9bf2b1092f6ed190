"""Where a notice may be sent: how an URL may be spelt, and which addresses are refused. Pure.

Whoever registers an endpoint chooses an address that this service then calls, from inside of the operator's network.
So the spelling is narrow enough that no two readers of it differ, and the address is judged where it is connected to.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from service.foundation.errors import BadRequest

URL_MAX = 2_048  # characters
Address = IPv4Address | IPv6Address

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|(?:{_LABEL}\.)*{_LABEL})(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<target>(?:/[!$%&'()*+,\-./0-9:;=@A-Z_a-z~]*)?(?:\?[!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]*)?)"
)
# A host whose last label is a number is an IPv4 address to some readers, in hexadecimal, octal or with parts left out.
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_PORTS = {"https": 443, "http": 80}
_UNPRIVILEGED = 1_024

_REFUSED_4 = [
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # public, and yet what a cloud's machines ask about themselves
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # measurements
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
# What is not here is no address of the internet: loopback, mapped and translated IPv4, private, link-local, multicast.
_INTERNET_6 = IPv6Network("2000::/3")
_REFUSED_6 = [
    IPv6Network(net)
    for net in (
        "2001::/23",  # IETF protocols, among them Teredo, which holds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # documentation
    )
]


def is_of_the_internet(address: str) -> bool:
    """Whether it is an address that anybody may be sent to: none of a network of the operator's own."""
    try:
        found = ip_address(address)
    except ValueError:  # with a zone, say
        return False
    if isinstance(found, IPv4Address):
        return not any(found in net for net in _REFUSED_4)
    return found.scope_id is None and found in _INTERNET_6 and not any(found in net for net in _REFUSED_6)


@dataclass(frozen=True, slots=True)
class Receiver:
    """An URL, taken apart once: what is checked is what is connected to. `host` of IPv6 has no brackets."""

    is_tls: bool
    host: str
    port: int
    target: str  # path and query, as they are sent

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_tls else "http"] else f"{host}:{self.port}"


def receiver_of(url: str, *, may_be_http: bool) -> Receiver:
    """The receiver that an URL names. Raises BadRequest, which never repeats the URL."""
    found = _URL.fullmatch(url)
    if found is None or len(url) > URL_MAX:
        raise _refused(
            "an absolute URL such as https://shop.example/notices: a host in lower-case ASCII (xn--… for other "
            "scripts), without user, password and fragment"
        )
    scheme, host = found["scheme"], found["host"].strip("[]")
    if scheme == "http" and not may_be_http:
        raise _refused("https: set EO_NOTICE_HTTP=1 where notices may travel unencrypted")
    if _is_odd(found["host"]):
        raise _refused("spelt with a name or a plain address: four decimal numbers, or IPv6 in brackets")
    port = int(found["port"] or _PORTS[scheme])
    if port != _PORTS[scheme] and not _UNPRIVILEGED <= port <= 65_535:
        raise _refused(f"on port {_PORTS[scheme]}, or from {_UNPRIVILEGED} on")
    target = found["target"] or "/"
    return Receiver(scheme == "https", host, port, target if target.startswith("/") else f"/{target}")


def _is_odd(host: str) -> bool:
    """Whether some reader could take the host for another address than we do."""
    if host.startswith("["):
        return not _is_address(host[1:-1], IPv6Address)
    return bool(_NUMBER.fullmatch(host.rpartition(".")[2])) and not _is_address(host, IPv4Address)


def _is_address(text: str, kind: type[Address]) -> bool:
    try:
        return isinstance(ip_address(text), kind)
    except ValueError:
        return False


def _refused(wanted: str) -> BadRequest:
    return BadRequest(f"url must be {wanted}.", code="url-refused")
