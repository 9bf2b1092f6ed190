"""The files that a TLS connection to PostgreSQL needs, loaded once: a wrong one is named at start.

A module of its own, imported where TLS files are named: `ssl` costs every command a few milliseconds.
"""

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from service.errors import Misconfigured

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def system_roots() -> str:
    """The file of this system's root certificates. Raises Misconfigured where there is none."""
    paths = ssl.get_default_verify_paths()
    for file in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if file and Path(file).is_file():
            return file
    raise Misconfigured("DATABASE_URL: sslrootcert=system, but this system has no file of root certificates. Name one.")


def load(options: Mapping[str, str], home: str) -> None:
    """Load every file that is named as libpq would. Raises Misconfigured, naming the file and why it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if file := options.get(name):
            _loading(name, file, partial(context.load_verify_locations, file))
    if options["sslmode"].startswith("verify-") and "sslrootcert" not in options:
        usual = Path(home, ".postgresql", "root.crt")
        if not usual.is_file():
            raise Misconfigured(
                f"DATABASE_URL: sslmode={options['sslmode']} needs the server's root certificate: "
                f"name it as sslrootcert=FILE (or system), or put it at {usual}."
            )
    if certificate := options.get("sslcert"):
        password = options.get("sslpassword", "")
        load = partial(context.load_cert_chain, certificate, options.get("sslkey"), lambda: password)
        _loading("sslcert and sslkey", certificate, load)


def _loading(name: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise _unusable(name, file, "it does not hold what it should, or its password is wrong") from error
    except (OSError, ValueError) as error:
        raise _unusable(name, file, getattr(error, "strerror", None) or "no file can have this name") from error


def _unusable(name: str, file: str, why: str) -> Misconfigured:
    return Misconfigured(f"DATABASE_URL: the file of {name}, {file}, cannot be used: {why}.")
