"""Where events are sent: what webhook endpoints and event destinations share.

Both sign with a secret that is shown once, when it is made. A rolled secret signs beside the new one for a while.
"""

import re
import secrets
import string
from typing import Self

import msgspec

from sandbox.errors import invalid
from sandbox.objects import Json, encode
from sandbox.state import Sandbox
from sandbox.store import Store
from sandbox.telling import Payload

COLUMNS = "id, created, url, payload, types, enabled, secret, secret_before, before_until, body"
EVERYTHING = "*"
# As many as an account may have in test mode, by Stripe's own sentence.
MOST = 16
_URL = re.compile(r"https?://[^\s/?#]+\S*")
_LENGTH = 32


def new_secret() -> str:
    """A signing secret."""
    return "whsec_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_LENGTH))


class Destination(msgspec.Struct, kw_only=True):
    """One row of `destinations`; `view` is the part of the API's answer that nothing here reads."""

    id: str
    created: int
    url: str
    payload: Payload
    types: list[str]
    enabled: bool = True
    secret: str = msgspec.field(default_factory=new_secret)
    secret_before: str | None = None
    before_until: float | None = None
    view: Json

    @classmethod
    def of(cls, row: tuple[str, int, str, Payload, str, int, str, str | None, float | None, bytes]) -> Self:
        """The destination of a row of COLUMNS."""
        at, created, url, payload, types, enabled, secret, before, until, body = row
        return cls(
            id=at,
            created=created,
            url=url,
            payload=payload,
            types=msgspec.json.decode(types, type=list[str]),
            enabled=bool(enabled),
            secret=secret,
            secret_before=before,
            before_until=until,
            view=msgspec.json.decode(body),
        )

    def wants(self, kind: str) -> bool:
        """Whether it is sent events of this type."""
        return EVERYTHING in self.types or kind in self.types

    def secrets(self, now: float) -> list[str]:
        """The secrets that sign now, the newest first."""
        before = self.secret_before if now < (self.before_until or 0) else None
        return [self.secret] if before is None else [self.secret, before]


def check_url(url: str, param: str) -> None:
    """Raise Stripe's 400 for what is no address. Unlike Stripe's, ours may be on this machine."""
    if "://" not in url:
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", param=param)
    if not _URL.fullmatch(url):
        raise invalid("Not a valid URL", code="url_invalid", param=param)


def check_room(sandbox: Sandbox) -> None:
    """Raise Stripe's 400 where the account has as many as it may."""
    (count,) = sandbox.store.row("SELECT COUNT(*) FROM destinations")
    if count >= MOST:
        raise invalid(f"You have reached the maximum of {MOST} test webhook endpoints.")


def find(store: Store, destination_id: str) -> Destination | None:
    """The destination of that id."""
    row = store.row(f"SELECT {COLUMNS} FROM destinations WHERE id = ?", (destination_id,))
    return None if row is None else Destination.of(row)


def every(store: Store) -> list[Destination]:
    """All of them, disabled ones too, in the order they were made."""
    return [Destination.of(row) for row in store.rows(f"SELECT {COLUMNS} FROM destinations ORDER BY seq")]


def save(store: Store, destination: Destination) -> None:
    """Write it, whether it is new or changed."""
    d = destination
    values = (d.id, d.created, d.url, d.payload, encode(d.types), d.enabled, d.secret, d.secret_before, d.before_until)
    columns = COLUMNS.split(", ")
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    store.write(
        f"INSERT INTO destinations ({COLUMNS}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT (id) DO UPDATE SET {changed}",
        (*values, encode(d.view)),
    )
    store.has_destinations = True


def delete(store: Store, destination_id: str) -> None:
    """Forget it, and what was on its way to it."""
    store.write("DELETE FROM deliveries WHERE destination = ?", (destination_id,))
    store.write("DELETE FROM destinations WHERE id = ?", (destination_id,))


def roll(sandbox: Sandbox, destination: Destination, overlap_s: float) -> str:
    """Make a new secret and return it; the one before signs too for so long. Stripe does this in its dashboard."""
    destination.secret_before, destination.before_until = destination.secret, sandbox.clock.exact() + overlap_s
    destination.secret = new_secret()
    save(sandbox.store, destination)
    return destination.secret
