"""DATABASE_URL as the driver takes it, and texts without the passwords in them.

    postgres_dsns(url)      one URL per host, each for `asyncpg.connect(dsn=…)`, in the order in which to try them
    postgres_address(url)   the same, with what the driver takes outside its URL
    shown(url)              the URL as it may be printed
    masked(text)            the text without the passwords in its URLs

An option that libpq understands and our driver or our promises do not is refused by its name. None is ignored.
"""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from service.foundation.addresses import libpq
from service.foundation.errors import Misconfigured

_SOCKET_FOLDERS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108  where PostgreSQL puts its socket
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_CONNECT_TIMEOUT_MAX_S = 60
# Options that the driver takes in its URL unchanged.
_PASSED = ("options", "sslmode", *_TLS_FILES, "sslpassword", "sslnegotiation", "target_session_attrs")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_KERBEROS = "there is no Kerberos in it"
_OWN_TIMEOUTS = "it bounds every connection itself, and finds dead ones (docs/howto/postgresql.md)"
_NO_OAUTH = "its driver knows passwords and certificates"

# Option → (the values that hold here, why no other does).
_CHOICES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "sslmode": (("disable", "allow", "prefer", "require", "verify-ca", "verify-full"), "libpq has no such mode"),
    "sslnegotiation": (("postgres", "direct"), "libpq has no such negotiation"),
    "target_session_attrs": (("any", "read-write", "primary"), "it writes, so it needs a server that takes writes"),
    "load_balance_hosts": (("disable",), "hosts are tried in the order in which they are written"),
    "channel_binding": (
        ("disable", "prefer"),
        "its driver has no channel binding; sslmode=verify-full names the server",
    ),
    "client_encoding": (("UTF8", "utf8", "UTF-8", "utf-8", "auto"), "it speaks UTF-8"),
    "sslcompression": (("0",), "TLS is not compressed"),
    "sslcertmode": (("allow",), "a certificate is sent where the server asks for it"),
    "sslsni": (("1",), "its driver always names the host"),
    "gssencmode": (("disable", "prefer"), _KERBEROS),
    "gssdelegation": (("0",), _KERBEROS),
    "keepalives": (("1",), _OWN_TIMEOUTS),
    "replication": (("false", "off", "no", "0"), "it is no replication client"),
    "min_protocol_version": (("3.0",), "its driver speaks protocol 3.0"),
    "max_protocol_version": (("3.0", "3.2", "latest"), "its driver speaks protocol 3.0"),
}
_REFUSED: Mapping[str, str] = {
    "hostaddr": "write the address as the host",
    "sslcrldir": "name one file as sslcrl",
    "sslkeylogfile": "it writes no secrets of its connections down",
    "require_auth": "its driver answers whatever the server asks for; sslmode=verify-full names the server",
    "requirepeer": "its driver does not ask who owns a socket; a folder of mode 0700 does the same",
    "gsslib": _KERBEROS,
    "krbsrvname": _KERBEROS,
    "scram_client_key": _NO_OAUTH,
    "scram_server_key": _NO_OAUTH,
    **dict.fromkeys(("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"), _NO_OAUTH),
    **dict.fromkeys(("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"), _OWN_TIMEOUTS),
}


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """The address of PostgreSQL. `dsns` hold passwords, so they are kept out of `repr`."""

    dsns: tuple[str, ...]
    application_name: str | None  # shown in pg_stat_activity before our own
    connect_timeout_s: float | None  # per host, where the URL names it

    def __repr__(self) -> str:
        return f"PostgresAddress({len(self.dsns)} hosts)"


def postgres_dsns(url: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """One URL per host, in the order in which to try them. Raises Misconfigured."""
    return postgres_address(url, environ).dsns


def postgres_address(url: str, environ: Mapping[str, str] = os.environ) -> PostgresAddress:
    """The address in a URL, completed as by libpq: service, PG… variables, password file. Raises Misconfigured."""
    options = libpq.read(url, environ)
    _refuse(options)
    options.setdefault("user", _os_user())
    options.setdefault("dbname", options["user"])
    hosts = _hosts(options)
    if len(hosts) > 1:  # one of several may be a standby, which takes no writes
        options.setdefault("target_session_attrs", "read-write")
    if not all(host.startswith("/") for host, _ in hosts):  # libpq speaks no TLS on a socket
        _tls(options, environ)
    return PostgresAddress(
        dsns=tuple(_dsn(options, host, port, environ) for host, port in hosts),
        application_name=options.get("application_name") or options.get("fallback_application_name"),
        connect_timeout_s=_connect_timeout_s(options.get("connect_timeout")),
    )


def shown(url: str) -> str:
    """The URL as it may be printed, with *** for every password in it."""
    head, separator, rest = url.partition("://")
    if not separator:
        return masked(url)
    place, question, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    login, at, hosts = authority.rpartition("@")
    if "@" in path:  # its password has a slash, so no part of it can be told from the password
        return f"{head}://***"
    user, colon, _ = login.partition(":")
    pairs = (pair.partition("=") for pair in query.split("&"))
    said = "&".join(
        f"{name}={'***' if _is_secret(name) else value}" if equals else name for name, equals, value in pairs
    )
    return f"{head}://{user}{colon and ':***'}{at}{hosts}{slash}{path}{question}{said}"


def masked(text: str) -> str:
    """`text` with *** for every password in a URL, and for every value after a password's name."""
    text = _URL.sub(lambda found: shown(found[0]), text)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _is_secret(name: str) -> bool:
    return re.search(r"pass(?!file)|secret|token", unquote(name), re.IGNORECASE) is not None


# Every repetition is bounded, or a long text without a secret would be scanned again from each of its characters.
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)
_SECRETS = (
    # Up to the last @ of the line, because a password may have an @ in it.
    (re.compile(r"([a-z][a-z0-9+.-]{0,30}://[^\s:@/?#]{0,500}):.{0,2000}@", re.IGNORECASE), r"\1:***@"),
    (re.compile(r"\b(\w{0,60}passw(?:or)?d|pwd)=[^\s&\"'<>]+", re.IGNORECASE), r"\1=***"),
    (re.compile(r"\b((?:sk|rk)_(?:test|live)|sk_org|whsec)_[A-Za-z0-9_]+"), r"\1_***"),
)


def _refuse(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if name in _REFUSED:
            raise _unsupported(name, _REFUSED[name])
        if name in _CHOICES and value not in _CHOICES[name][0]:
            known, why = _CHOICES[name]
            shown = value if re.fullmatch(r"[A-Za-z0-9_.-]{1,30}", value) else "…"
            raise _unsupported(f"{name}={shown}", f"{why}. Known: {', '.join(known)}")


def _unsupported(what: str, why: str) -> Misconfigured:
    return Misconfigured(f"DATABASE_URL: {what} is not supported by effectively-once: {why}.")


def _os_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise Misconfigured(
            "DATABASE_URL names no user, and the user of this process has no name. Name one."
        ) from error


def _hosts(options: Mapping[str, str]) -> list[tuple[str, str]]:
    """Host and port of each server. One port is for all, as in libpq; an empty host is the local socket."""
    hosts = [re.sub(r"^\[(.+)\]$", r"\1", host) for host in options.get("host", "").split(",")]
    ports = options.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise Misconfigured(f"DATABASE_URL names {len(hosts)} hosts and {len(ports)} ports: one port, or one for each.")
    pairs = [(host, _port(port)) for host, port in zip(hosts, ports, strict=True)]
    for host, _ in pairs:
        if host.startswith("@"):
            raise _unsupported("an abstract socket", "name the socket's folder, or host and port")
        if any(character.isspace() or character in "\"'<>\\^`{|}" for character in host) and not host.startswith("/"):
            raise Misconfigured("DATABASE_URL has a host whose name no host can have.")
    return [(host or _socket_folder(port), port) for host, port in pairs]


def _port(text: str) -> str:
    if not text:
        return "5432"
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65_535:
        raise Misconfigured(
            "DATABASE_URL has a port that is no number from 1 to 65535. "
            "Where that is a part of the password: write / : ? # @ in it as %2F %3A %3F %23 %40."
        )
    return str(int(text))


def _socket_folder(port: str) -> str:
    """The folder of a local server's socket: the one of the usual folders that has it."""
    there = (folder for folder in _SOCKET_FOLDERS if Path(folder, f".s.PGSQL.{port}").exists())
    return next(there, _SOCKET_FOLDERS[1])


def _connect_timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _CONNECT_TIMEOUT_MAX_S:
        raise _unsupported(
            "this connect_timeout", f"a connection is waited for 1 to {_CONNECT_TIMEOUT_MAX_S} whole seconds"
        )
    return float(text)


def _tls(options: dict[str, str], environ: Mapping[str, str]) -> None:
    """Complete the options of TLS, and load each file once, so that a wrong file is named before any connection."""
    if options.get("sslrootcert") == "system":
        if options.setdefault("sslmode", "verify-full") != "verify-full":
            raise Misconfigured("DATABASE_URL: sslrootcert=system demands sslmode=verify-full, as in libpq.")
        from service.foundation.addresses.tls_files import system_roots  # noqa: PLC0415  TLS, only where it is asked for

        options["sslrootcert"] = system_roots()
    mode = options.setdefault("sslmode", "prefer")
    least, most = (_tls_version(options, f"ssl_{end}_protocol_version") for end in ("min", "max"))
    if least and most and least > most:
        raise Misconfigured("DATABASE_URL: ssl_min_protocol_version is above ssl_max_protocol_version.")
    if options.get("sslnegotiation") == "direct" and mode in ("disable", "allow", "prefer"):
        raise Misconfigured("DATABASE_URL: sslnegotiation=direct demands sslmode=require or stricter, as in libpq.")
    if mode.startswith("verify-") or (mode != "disable" and any(name in options for name in _TLS_FILES)):
        from service.foundation.addresses.tls_files import load_of_postgres  # noqa: PLC0415

        load_of_postgres(options, environ.get("HOME", "/"))


def _tls_version(options: dict[str, str], name: str) -> str | None:
    """The version of TLS that an option names, in the driver's spelling. Raises Misconfigured."""
    value = options.get(name)
    if value is None:
        return None
    for version in _TLS_VERSIONS:
        if value.lower() == version.lower():
            options[name] = version
            return version
    raise _unsupported(f"this {name}", f"known are {', '.join(_TLS_VERSIONS)}")


def _dsn(options: Mapping[str, str], host: str, port: str, environ: Mapping[str, str]) -> str:
    """A URL with all options in its query, percent-encoded, so that the driver reads every value unchanged."""
    password = options.get("password") or libpq.password_from_file(options, host, port, environ)
    named = {
        "host": f"[{host}]" if ":" in host and not host.startswith("/") else host,
        "port": port,
        "user": options["user"],
        "password": password,
        "dbname": options["dbname"],
        **{name: options.get(name) for name in _PASSED},
    }
    for name in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        named[name] = options.get(name)
    if host.startswith("/"):
        named = {name: value for name, value in named.items() if not name.startswith("ssl")}
        named |= {"sslmode": "disable", "sslnegotiation": "postgres"}
    return "postgresql://?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items() if value)
