"""Whoever registers an endpoint must not be able to make this service call its own network."""

import ipaddress
import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from service.foundation.errors import BadRequest
from service.notices.addresses import is_of_the_internet, receiver_of

# Spellings by which checks of other services were passed: other notations of addresses, characters that one parser
# takes for the end of the host and another does not, and what travels beside the host.
REFUSED = (
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7f.0.0.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1.:443/",
    "https://0/",
    "https://0x/",
    "https://1.2.3.4.5/",
    "https://256.256.256.256/",
    "https://example.0x7f/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://ⓔxample.com/",
    "https://exämple.com/",
    "https://LOCALHOST/",
    "https://example.com./",
    "https://[::1%25lo]/",
    "https://[::1/",
    "https://::1/",
    "https://[127.0.0.1]/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\127.0.0.1/",
    "https:/127.0.0.1/",
    "https:///127.0.0.1/",
    "https:127.0.0.1",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:65536/",
    "https://example.com:99999999999/",
    "https://example.com:+443/",
    "https://example.com: 443/",
    "https://example.com:443:80/",
    "https://-example.com/",
    "https://exa_mple.com/",
    "https://example..com/",
    "https://" + "a" * 64 + ".com/",
    "https://example.com/ HTTP/1.1\r\nHost: internal",
    "https://example.com/\nx",
    "https://example.com/\tx",
    "https://exam\nple.com/",
    "https://example.com/ x",
    " https://example.com/",
    "https://example.com/\x00",
    "https://example.com/ü",
    "https://example.com/" + "a" * 2048,
    "http://example.com/",
    "HTTPS://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:70/_x",
    "dict://example.com:11211/",
    "jar:https://example.com!/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:/var/run/docker.sock",
)


@pytest.mark.parametrize("url", REFUSED, ids=[ascii(url)[:60] for url in REFUSED])
def test_an_url_that_two_readers_could_understand_differently_is_refused(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        receiver_of(url, may_be_http=False)
    assert refused.value.code == "url-refused"
    assert len(url) < 9 or url not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://shop.example", "shop.example", 443, "/", "shop.example"),
        ("https://shop.example:443/", "shop.example", 443, "/", "shop.example"),
        ("https://shop.example:8443/a/b?c=d&e", "shop.example", 8443, "/a/b?c=d&e", "shop.example:8443"),
        ("https://shop.example?c=d", "shop.example", 443, "/?c=d", "shop.example"),
        ("https://xn--exmple-cua.com/%C3%BC", "xn--exmple-cua.com", 443, "/%C3%BC", "xn--exmple-cua.com"),
        ("https://93.184.215.14/", "93.184.215.14", 443, "/", "93.184.215.14"),
        ("https://[2606:2800:21f::1]:8443/", "2606:2800:21f::1", 8443, "/", "[2606:2800:21f::1]:8443"),
    ],
)
def test_an_ordinary_url_is_taken_apart(url: str, host: str, port: int, target: str, authority: str) -> None:
    found = receiver_of(url, may_be_http=False)
    assert (found.is_tls, found.host, found.port, found.target) == (True, host, port, target)
    assert found.authority == authority


def test_http_is_for_whoever_allows_it() -> None:
    found = receiver_of("http://shop.example/", may_be_http=True)
    assert (found.is_tls, found.port) == (False, 80)


INNER = (
    "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254"
    " 168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1"
    " 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255"
    " :: ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1"
    " 64:ff9b::127.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: 2001:10::1 2001:db8::1"
    " 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1"
    " fe80::a9fe:a9fe ::ffff:169.254.169.254 4000::1 1::1 nonsense 127.1 0x7f.1 2130706433"
).split()


@pytest.mark.parametrize("address", INNER)
def test_an_address_of_a_network_of_our_own_is_refused(address: str) -> None:
    assert not is_of_the_internet(address)


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 8.8.8.8 93.184.215.14 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.255.255 223.255.255.255"
    " 2606:4700::1111 2001:4860:4860::8888 2a00:1450:4001::1 2003::1".split(),
)
def test_an_address_of_the_internet_is_not(address: str) -> None:
    assert is_of_the_internet(address)


def test_what_python_knows_to_be_no_address_of_the_internet_is_refused() -> None:
    """Python's tables of special addresses are not ours."""
    chosen = random.Random(7)
    for _ in range(3_000):
        four, six = IPv4Address(chosen.getrandbits(32)), IPv6Address(chosen.getrandbits(128))
        near = chosen.choice(list(ipaddress._IPv6Constants._private_networks))  # type: ignore[attr-defined]
        inside = near[chosen.randrange(min(near.num_addresses, 1 << 60))]
        for address in (four, six, inside):
            if not address.is_global or address.is_multicast or address.is_reserved:
                assert not is_of_the_internet(str(address)), address
            elif isinstance(address, IPv4Address) and is_of_the_internet(str(address)) is False:
                assert str(address).startswith(("192.88.99.", "168.63.129."))
