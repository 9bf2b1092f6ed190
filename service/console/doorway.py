"""At which address browsers reach the console, and whether a request comes from there.

A page of another site can make a browser send requests to any address, and can have its own name lead to 127.0.0.1. The
Host header then still has its name, and Origin and Sec-Fetch-Site tell that its page sent the form.

The API speaks plain HTTP. On loopback nobody listens in; on any other interface a session's cookie would cross a
network unencrypted. So the console refuses to be served there, until EO_CONSOLE_ORIGIN says at which https address a
proxy serves it. That one value is also the only Host and Origin that is then admitted, and its cookies are for TLS
alone.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from service.foundation.errors import Misconfigured
from service.foundation.settings import Settings

PATH = "/console"
# A browser sends these names for this machine; whatever another site's name leads to, its Host is none of them.
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?")
# A proxy adds these. Without EO_CONSOLE_ORIGIN nobody has said that there is one.
_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Doorway:
    """The console's address as browsers know it. Without an `origin` it is any name of loopback."""

    origin: str
    name: str
    port: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The doorway of a process with these settings. Raises Misconfigured where it would be open to a network."""
        origin = _normal(settings.console_origin) if settings.console_origin else ""
        if not origin and not is_loopback(settings.host):
            raise Misconfigured(
                f"EO_CONSOLE=1 with EO_HOST={settings.host} would show the console to a network, unencrypted. Set "
                "EO_CONSOLE_ORIGIN to the https address at which your proxy serves it, or EO_HOST=127.0.0.1, or "
                "EO_CONSOLE=0."
            )
        return cls(origin, "[::1]" if ":" in settings.host else "127.0.0.1", settings.port)

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers come by TLS."""
        return self.origin.startswith("https:")

    @property
    def url(self) -> str:
        """The address for people."""
        return f"{self.origin or f'http://{self.name}:{self.port}'}{PATH}"

    def link(self, secret: str) -> str:
        """The address that opens the console once."""
        return f"{self.url}/open?link={secret}"

    def refuses(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is not let in by its headers, in words for whoever sees the answer; None where it is."""
        host = headers.get("host", "")
        if self.origin:
            named = self.origin.partition("://")[2]
            return None if host.lower() == named else f"The console is reached at {self.url} only."
        if not _LOOPBACK.fullmatch(host):
            return f"The console is reached at {self.url} only. EO_CONSOLE_ORIGIN names another address."
        if any(name in headers for name in _PROXIED):
            return "A proxy passed this on. EO_CONSOLE_ORIGIN has to name the https address of the console there."
        return None

    def is_own_form(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of this console sent the request: a browser says so by one of two headers, or by both."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        own = self.origin or f"http://{headers.get('host', '')}"
        if site is None and origin is None:
            return False
        return site in (None, "same-origin") and (origin is None or origin.lower() == own.lower())


def is_loopback(host: str) -> bool:
    """Whether a server that listens on this host is reached from this machine alone."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _normal(origin: str) -> str:
    """The origin as browsers spell it. Raises Misconfigured."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise Misconfigured("EO_CONSOLE_ORIGIN must be an address without a path, such as https://pay.example.com.")
    host = urlsplit(origin).hostname or ""
    if found[1].lower() == "http" and not is_loopback(host):
        raise Misconfigured(
            "EO_CONSOLE_ORIGIN must begin with https:// (http:// for this machine only, as http://localhost:8000): "
            "whoever reads the console's cookie on the way can act as its user."
        )
    port = {"http": ":80", "https": ":443"}[found[1].lower()]
    return f"{found[1]}://{found[2]}{(found[3] or '').removesuffix(port)}".lower()
