"""Loads the files that a TLS connection needs once, so that a wrong file is named at the start.

This module is imported only where TLS files are named, because importing `ssl` costs a few milliseconds.
"""

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from service.foundation.errors import Misconfigured

_DATABASE, _REDIS = "DATABASE_URL", "REDIS_URL"


def system_roots() -> str:
    """The file of this system's root certificates. Raises Misconfigured where there is none."""
    paths = ssl.get_default_verify_paths()
    for file in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if file and Path(file).is_file():
            return file
    raise Misconfigured("DATABASE_URL: sslrootcert=system, but this system has no file of root certificates. Name one.")


def load_of_postgres(options: Mapping[str, str], home: str) -> None:
    """Load every named file as libpq would. Raises Misconfigured, which names the file and why it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if file := options.get(name):
            _loading(_DATABASE, name, file, partial(context.load_verify_locations, file))
    if options["sslmode"].startswith("verify-") and "sslrootcert" not in options:
        usual = Path(home, ".postgresql", "root.crt")
        if not usual.is_file():
            raise Misconfigured(
                f"DATABASE_URL: sslmode={options['sslmode']} needs the server's root certificate: "
                f"name it as sslrootcert=FILE (or system), or put it at {usual}."
            )
    if certificate := options.get("sslcert"):
        pair = certificate, options.get("sslkey"), options.get("sslpassword", "")
        _loading(_DATABASE, "sslcert and sslkey", certificate, partial(_load_pair, context, *pair))


def load_of_redis(options: Mapping[str, str]) -> None:
    """Load every named file. Raises Misconfigured, which names the file and why it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file := options.get("ssl_ca_certs"):
        _loading(_REDIS, "ssl_ca_certs", file, partial(context.load_verify_locations, file))
    if certificate := options.get("ssl_certfile"):
        pair = certificate, options.get("ssl_keyfile"), options.get("ssl_password", "")
        _loading(_REDIS, "ssl_certfile and ssl_keyfile", certificate, partial(_load_pair, context, *pair))


def _load_pair(context: ssl.SSLContext, certificate: str, key: str | None, password: str) -> None:
    context.load_cert_chain(certificate, key, lambda: password)  # without a password OpenSSL would ask the terminal


def _loading(variable: str, name: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        is_content = isinstance(error, ssl.SSLError)
        why = "it does not hold what it should, or its password is wrong" if is_content else _reason(error)
        raise Misconfigured(f"{variable}: the file of {name}, {file}, cannot be used: {why}.") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no file can have this name"
