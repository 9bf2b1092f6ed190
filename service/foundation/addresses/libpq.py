"""libpq's connection URLs, read as libpq reads them: its grammar, its PG… variables, its service file.

`read` returns the options by name; the module `postgres` decides what they mean to this service. A message repeats a
value only where it is one of a closed list, because any other may be a part of a password.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.foundation.errors import Misconfigured

SCHEMES = ("postgresql", "postgres")
_ALIASES = ("postgresql+asyncpg", "postgres+asyncpg")  # what SQLAlchemy calls it, with our driver

# Each option of libpq 18, with the variable that stands in for it where the URL does not name it.
OPTIONS: Mapping[str, str] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "application_name": "PGAPPNAME",
    "fallback_application_name": "",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "client_encoding": "PGCLIENTENCODING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslpassword": "",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcertmode": "PGSSLCERTMODE",
    "sslsni": "PGSSLSNI",
    "sslkeylogfile": "",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "gssencmode": "PGGSSENCMODE",
    "gssdelegation": "PGGSSDELEGATION",
    "gsslib": "PGGSSLIB",
    "krbsrvname": "PGKRBSRVNAME",
    "keepalives": "",
    "keepalives_idle": "",
    "keepalives_interval": "",
    "keepalives_count": "",
    "tcp_user_timeout": "",
    "replication": "",
    "scram_client_key": "",
    "scram_server_key": "",
    "oauth_issuer": "",
    "oauth_client_id": "",
    "oauth_client_secret": "",
    "oauth_scope": "",
}
_ENCODE = "Write / ? # @ : % and spaces inside a password as %2F %3F %23 %40 %3A %25 %20."
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")


def read(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Every option that is set: by the URL, else its service, else a PG… variable. Raises Misconfigured."""
    found = parse(url)
    service_name = found.get("service") or environ.get("PGSERVICE")
    service = _service(service_name, found, environ) if service_name else {}
    variables = {name: environ[variable] for name, variable in OPTIONS.items() if environ.get(variable)}
    return variables | service | found


def parse(url: str) -> dict[str, str]:
    """The options that the URL itself names, with libpq's grammar. Raises Misconfigured."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*SCHEMES, *_ALIASES):
        raise _wrong("does not begin with postgresql://. Expected: postgresql://user@host:5432/database")
    found: dict[str, str] = {}
    rest = _credentials(rest, found)
    rest = _hosts(rest, found)
    path, _, query = rest.partition("?")
    if "@" in path or "/" in path[1:]:
        raise _wrong(f"has an @ or a / in the database's name. {_ENCODE}")
    _store(found, "dbname", path[1:])
    return found | dict(_pairs(query, is_sqlalchemy="+" in scheme))


def _credentials(rest: str, found: dict[str, str]) -> str:
    """Store `user:password@`, which ends at an @ before the first slash. Returns the rest."""
    before, at, after = rest.partition("@")
    if not at or "/" in before:
        return rest
    user, _, password = before.partition(":")
    _store(found, "user", user)
    _store(found, "password", password)
    return after


def _hosts(rest: str, found: dict[str, str]) -> str:
    """Store `host:port,host:port`, with IPv6 addresses in brackets. Returns the rest."""
    hosts, ports = [], []
    while True:
        host, rest = _bracketed(rest) if rest.startswith("[") else _until(rest, ":/?,")
        port = ""
        if rest.startswith(":"):
            port, rest = _until(rest[1:], "/?,")
        hosts.append(host)
        ports.append(port)
        if not rest.startswith(","):
            break
        rest = rest[1:]
    if any("@" in host for host in hosts):
        raise _wrong(f"has an @ in a host's name. {_ENCODE}")
    _store(found, "host", ",".join(hosts))
    _store(found, "port", ",".join(ports))
    return rest


def _bracketed(rest: str) -> tuple[str, str]:
    host, closed, after = rest[1:].partition("]")
    if not closed or not host or (after and after[0] not in ":/?,"):
        raise _wrong("has an IPv6 address that is not written as [address]:port")
    return host, after


def _until(text: str, stops: str) -> tuple[str, str]:
    end = next((i for i, character in enumerate(text) if character in stops), len(text))
    return text[:end], text[end:]


def _pairs(query: str, *, is_sqlalchemy: bool) -> Iterator[tuple[str, str]]:
    for pair in query.removesuffix("&").split("&") if query else ():
        name, separator, value = pair.partition("=")
        name = decoded(name)
        if not separator or "=" in value:
            raise _wrong(f"has a part after ? that is not of the form name=value. {_ENCODE}")
        value = decoded(value)
        if name == "ssl" and (value == "true" or is_sqlalchemy):  # of JDBC, and of SQLAlchemy with our driver
            name, value = "sslmode", "require" if value == "true" else value
        if name not in OPTIONS:
            raise Misconfigured(
                f"DATABASE_URL: {_shown(name)} is not supported by effectively-once: libpq has no such."
            )
        yield name, value


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "an option after ?"


def _store(found: dict[str, str], name: str, raw: str) -> None:
    if raw:
        found[name] = decoded(raw)


def decoded(raw: str) -> str:
    """Decode percent signs as libpq does: a plus stays a plus, and a NUL byte is refused. Raises Misconfigured."""
    if _PERCENT.search(raw):
        raise _wrong("has a % that is not followed by two hexadecimal digits. A % itself is written %25.")
    try:
        # Raw characters and encoded bytes may be mixed, so both are decoded from bytes.
        bytes_ = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), raw.encode())
        text = bytes_.decode()
    except UnicodeError as error:
        raise _wrong("is not UTF-8 text") from error
    if "\0" in text:
        raise _wrong("has a NUL byte (%00) in it")
    return text


def _service(name: str, found: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The options of a service, from the file of the user or, where it is not there, the system's."""
    files = _service_files(found, environ)
    for file in files:
        section = _section(file, name)
        if section is not None:
            return section
    where = " or ".join(str(file) for file in files) or "any file (set PGSERVICEFILE)"
    raise Misconfigured(f"DATABASE_URL: the service it names is not defined in {where}.")


def _service_files(found: Mapping[str, str], environ: Mapping[str, str]) -> list[Path]:
    named = found.get("servicefile") or environ.get("PGSERVICEFILE")
    home = environ.get("HOME")
    own = Path(named) if named else Path(home, ".pg_service.conf") if home else None
    system = environ.get("PGSYSCONFDIR")
    return [file for file in (own, Path(system, "pg_service.conf") if system else None) if file]


def _section(file: Path, name: str) -> dict[str, str] | None:
    """The lines `option=value` below `[name]`, or None where the file has no such."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"The service file {file} cannot be read ({_cause(error)}).") from error
    section: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if line.startswith("["):
            if section is not None:
                break
            section = {} if line == f"[{name}]" else None
        elif section is not None and line and not line.startswith("#"):
            option, separator, value = line.partition("=")
            if not separator or option not in OPTIONS or option in ("service", "servicefile"):
                raise Misconfigured(f"The service file {file} has a line that is not of the form option=value.")
            section.setdefault(option, value)
    return section


def password_from_file(options: Mapping[str, str], host: str, port: str, environ: Mapping[str, str]) -> str | None:
    """The password for one host from the file that `options` name, else from ~/.pgpass. Raises Misconfigured.

    As in libpq, a file that others may read is not used. Where such a file was named, it is refused with the reason.
    """
    named = options.get("passfile")
    home = environ.get("HOME")
    if not named and not home:
        return None
    file = Path(named) if named else Path(str(home), ".pgpass")
    try:
        if not file.is_file() or file.stat().st_mode & 0o077:
            if named:
                raise Misconfigured(
                    f"The password file {file} must be a file that only its owner may read (chmod 600)."
                )
            return None
        lines = file.read_text().splitlines()
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"The password file {file} cannot be read ({_cause(error)}).") from error
    wanted = ("localhost" if host.startswith("/") else host, port, options["dbname"], options["user"])
    return next((password for line in lines if (password := _matching(line, wanted)) is not None), None)


def _matching(line: str, wanted: tuple[str, ...]) -> str | None:
    """The password of a line `host:port:database:user:password` that matches; backslash escapes : and itself."""
    if line.startswith("#"):
        return None
    fields = [re.sub(r"\\(.)", r"\1", field) for field in re.findall(r"((?:[^:\\]|\\.)*)(?::|$)", line)]
    raw = re.match(r"(?:(?:[^:\\]|\\.)*:){4}", line)
    if raw is None:
        return None
    stars = [field in ("*", value) for field, value in zip(fields, wanted, strict=False)]
    return re.sub(r"\\(.)", r"\1", line[raw.end() :]) if all(stars) else None


def _cause(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is not UTF-8 text"


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"DATABASE_URL {what}" if what.endswith(".") else f"DATABASE_URL {what}.")
