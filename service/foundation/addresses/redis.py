"""REDIS_URL, parsed. `service.foundation.redis_clients` makes clients of it.

redis://[user:password@]host[:port][/db]             one Redis; rediss:// with TLS
unix://[user:password@]/path/to/socket[?db=0]
redis+sentinel://[user:password@]h1[:26379],h2/service[/db]    the primary that Sentinel names
redis+cluster://[user:password@]h1[:6379],h2                   a Redis Cluster
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from service.foundation.errors import Misconfigured


class Kind(StrEnum):
    """The kind of server at an address."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address of Redis. `login` and `sentinel_login` hold passwords, so they are kept out of `repr`."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    path: str  # of a socket, in which case there are no hosts
    service: str  # of Sentinel
    db: int
    login: Mapping[str, str]
    sentinel_login: Mapping[str, str]
    tls: Mapping[str, Any] | None  # options of the client; None without TLS

    def __repr__(self) -> str:
        return f"RedisAddress({self.kind}, {self.hosts or self.path})"


_SCHEMES = {
    "redis": (Kind.SINGLE, False),
    "rediss": (Kind.SINGLE, True),
    "unix": (Kind.SINGLE, False),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}
_PORTS = {Kind.SINGLE: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}
_EXPECTED = "redis://host:6379/0, or rediss://, unix://, redis+sentinel://, redis+cluster://"
_ENCODE = "Write / ? # @ : % inside a password as %2F %3F %23 %40 %3A %25."
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LOGIN, _SENTINEL_LOGIN = ("username", "password"), ("sentinel_username", "sentinel_password")
_TLS_TEXTS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_password")
_CERT_REQS = ("required", "optional", "none")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def parse(url: str) -> RedisAddress:
    """The address in a URL. Raises Misconfigured, whose message has no part of the URL that may be of a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        said = (
            f"{scheme.lower()}:// is not supported by effectively-once"
            if _is_scheme(scheme, separator)
            else "this is no URL"
        )
        raise Misconfigured(f"REDIS_URL: {said}. Expected: {_EXPECTED}.")
    kind, has_tls = _SCHEMES[scheme.lower()]
    rest, _, query = rest.partition("?")
    options = _options(query)
    authority, slash, path = rest.partition("/")
    login, hosts = _credentials(authority)
    if "@" in path or "#" in path:
        raise _wrong(f"has an @ or a # behind the host. {_ENCODE}")
    is_socket = scheme.lower() == "unix"
    service, db = ("", "") if is_socket else _service_and_db(kind, path)
    if is_socket and (hosts or not path):
        raise _wrong("names no socket. Expected: unix:///path/to/socket")
    return RedisAddress(
        kind=kind,
        hosts=() if is_socket else tuple(_host(host, _PORTS[kind]) for host in _split(hosts, kind)),
        path=slash + _decoded(path) if is_socket else "",
        service=service,
        db=_db(kind, options.pop("db", db)),
        login=login | {name: options.pop(name) for name in _LOGIN if name in options},
        sentinel_login=_sentinel_login(kind, options),
        tls=_tls(options, has_tls=has_tls),
    )


def with_password(url: str, password: str) -> str:
    """The URL with this password where it names none. Raises Misconfigured."""
    if "password" in parse(url).login or not password:
        return url
    return f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


def _is_scheme(text: str, separator: str) -> bool:
    return bool(separator) and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", text) is not None


def _credentials(authority: str) -> tuple[dict[str, str], str]:
    """User and password, up to the last @, as Redis's own client reads them. The user may be empty."""
    before, _, hosts = authority.rpartition("@")
    user, _, password = before.partition(":")
    found = {"username": _decoded(user), "password": _decoded(password)}
    return {name: value for name, value in found.items() if value}, hosts


def _split(hosts: str, kind: Kind) -> list[str]:
    found = hosts.split(",")
    if kind is Kind.SINGLE and len(found) > 1:
        raise _wrong("names several hosts. Write redis+sentinel:// or redis+cluster:// where that is meant")
    if kind is not Kind.SINGLE and not all(found):
        raise _wrong("has an empty host")
    return found


def _host(text: str, default: int) -> tuple[str, int]:
    found = re.fullmatch(
        r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%25\w+)?)\]|(?P<name>[^:\[\]\s\"'<>\\^`{|}]*))(?::(?P<port>[^:]*))?", text
    )
    if found is None:
        raise _wrong(f"has a host that is none. {_ENCODE}")
    port = found["port"]
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65_535):
        raise _wrong(f"has a port that is no number from 1 to 65535. {_ENCODE}")
    return _decoded(found["v6"] or found["name"] or "localhost"), int(port or default)


def _service_and_db(kind: Kind, path: str) -> tuple[str, str]:
    parts = path.removesuffix("/").split("/") if path else []
    if kind is not Kind.SENTINEL:
        if len(parts) > 1:
            raise _wrong("has more than a database's number behind the host")
        return "", "".join(parts)
    if not parts or not parts[0] or len(parts) > 2:
        raise _wrong("names no service. Expected: redis+sentinel://host:26379,host:26379/service/0")
    return _decoded(parts[0]), parts[1] if len(parts) > 1 else ""


def _db(kind: Kind, text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,4}", text):
        raise _wrong(f"has no database's number behind the host, say /0. {_ENCODE}")
    if kind is Kind.CLUSTER and int(text or 0):
        raise _wrong("names a database: a Redis Cluster has only 0")
    return int(text or 0)


def _sentinel_login(kind: Kind, options: dict[str, str]) -> dict[str, str]:
    found = {name: options.pop(name) for name in _SENTINEL_LOGIN if name in options}
    if found and kind is not Kind.SENTINEL:
        raise _wrong("names a user or password of Sentinel, but not redis+sentinel://")
    return {name.removeprefix("sentinel_"): value for name, value in found.items()}


def _tls(options: dict[str, str], *, has_tls: bool) -> dict[str, Any] | None:
    """The options of TLS among those that are left. Any other option is refused by its name."""
    found: dict[str, Any] = {name: options.pop(name) for name in _TLS_TEXTS if name in options}
    if "ssl_cert_reqs" in options:
        found["ssl_cert_reqs"] = _one_of("ssl_cert_reqs", options.pop("ssl_cert_reqs"), _CERT_REQS)
    if "ssl_check_hostname" in options:
        flag = _one_of("ssl_check_hostname", options.pop("ssl_check_hostname").lower(), tuple(_FLAGS))
        found["ssl_check_hostname"] = _FLAGS[flag]
    for name in options:
        shown = name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "an option after ?"
        raise Misconfigured(f"REDIS_URL: {shown} is not supported by effectively-once: {_WHY.get(name, 'unknown')}.")
    if found and not has_tls:
        raise _wrong("names options of TLS, but not a scheme with it (rediss://)")
    if any(name in found for name in _TLS_TEXTS):
        from service.foundation.addresses.tls_files import load_of_redis  # noqa: PLC0415  TLS, only where its files are named

        load_of_redis(found)
    return found if has_tls else None


_WHY = dict.fromkeys(
    (
        "socket_timeout",
        "socket_connect_timeout",
        "timeout",
        "retry_on_timeout",
        "health_check_interval",
        "socket_keepalive",
    ),
    "it bounds every call itself",
) | {"max_connections": "it counts its connections itself", "protocol": "its client chooses that"}


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise _wrong(f"has a value for {name} that is none of {', '.join(known)}")
    return value


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise _wrong(f"has a part after ? that is not of the form name=value. {_ENCODE}")
        found[_decoded(name)] = _decoded(value)
    return found


def _decoded(raw: str) -> str:
    if _PERCENT.search(raw):
        raise _wrong("has a % that is not followed by two hexadecimal digits. A % itself is written %25.")
    try:
        text = unquote(raw, errors="strict")
    except UnicodeError as error:
        raise _wrong("is not UTF-8 text") from error
    if "\0" in text:
        raise _wrong("has a NUL byte (%00) in it")
    return text


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"REDIS_URL {what}" if what.endswith(".") else f"REDIS_URL {what}.")
