"""Who may see the console: a link that opens it once, and the session that it leaves in the browser (R40).

Of both only an HMAC is stored, so a copied table opens nothing. Each has its own word in the HMAC, so that neither can
be taken for the other, or for an API key. A form's token is made of the session's cookie: no other session has it,
nothing is stored for it, and whoever could make it already has the cookie.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.audit import Action, Shown, Who
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect

Role = Literal["read", "operate"]
Mode = Literal["sandbox", "test", "live"]

SESSION_S = 12 * 3_600  # a working day; then a new link is needed
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # of 32 random bytes


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sees a page. `said` is what the action before it has to tell; `path` is the page."""

    actor: str
    role: Role
    mode: Mode
    path: str
    csrf: str = field(repr=False)
    said: str | None = None
    has_chaos: bool = False  # whether this installation has the page that injects faults

    @property
    def who(self) -> Who:
        """As the audit names this visitor."""
        return Who(self.actor, "console")

    @property
    def may_operate(self) -> bool:
        """Whether this visitor may act."""
        return self.role == "operate"


class Session(Record):
    """An open session."""

    actor: str
    role: Role


class _Instance(Record):
    hmac_key: bytes


_HMAC_KEY = Statement("SELECT hmac_key FROM instance WHERE id = 1").returning(_Instance)
_FORGET = Statement("""
WITH old AS (DELETE FROM console_sessions WHERE expires_at < now() - interval '30 days')
DELETE FROM console_links WHERE expires_at < now() - interval '30 days'
""")
_MAKE_LINK = Statement("""
INSERT INTO console_links (hmac, actor, role, expires_at)
VALUES (:hmac, :actor, :role, now() + make_interval(mins => CAST(:minutes AS integer)))
""")
# Of two at the same moment one updates the row; the other waits for it, and then finds it used.
_OPEN = Statement("""
WITH used AS (
  UPDATE console_links SET used_at = now() WHERE hmac = :link AND used_at IS NULL AND expires_at > now()
  RETURNING actor, role
)
INSERT INTO console_sessions (hmac, actor, role, expires_at)
SELECT :session, actor, role, now() + make_interval(secs => CAST(:seconds AS integer)) FROM used
RETURNING actor, role
""").returning(Session)
_STORE = Statement("""
INSERT INTO console_sessions (hmac, actor, role, expires_at)
VALUES (:hmac, :actor, :role, now() + make_interval(secs => CAST(:seconds AS integer))) ON CONFLICT DO NOTHING
""")
_SESSION = Statement("""
SELECT actor, role FROM console_sessions WHERE hmac = :hmac AND ended_at IS NULL AND expires_at > now()
""").returning(Session)
_END = Statement("UPDATE console_sessions SET ended_at = now() WHERE hmac = :hmac AND ended_at IS NULL")


class Access:
    """Links and sessions of one installation."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hmac_key: bytes | None = None

    async def link(self, who: Who, actor: str, role: Role, minutes: int) -> str:
        """The secret of a new link, which opens the console for `actor` once, within so many minutes."""
        secret = secrets.token_urlsafe(32)
        async with begin(self._engine) as tx:
            made = await self._hmac(tx, "link", secret)
            await tx.run(_FORGET)
            await tx.run(_MAKE_LINK, {"hmac": made, "actor": actor, "role": role, "minutes": minutes})
            after: Shown = {"actor": actor, "role": role, "minutes": minutes}
            await audit.note(tx, who, Action.CONSOLE_LINK, made.hex()[:12], after=after)
        return secret

    async def open(self, secret: str) -> str | None:
        """Use a link up: the cookie of a new session, or None where it is unknown, used, or too old."""
        if not _SECRET.fullmatch(secret):
            return None
        cookie = secrets.token_urlsafe(32)
        async with connect(self._engine) as connection:
            link, session = [await self._hmac(connection, *of) for of in (("link", secret), ("session", cookie))]
            opened = await connection.row(_OPEN, {"link": link, "session": session, "seconds": SESSION_S})
        return cookie if opened else None

    async def session(self, cookie: str) -> Session | None:
        """The session of this cookie, unless it has ended."""
        if not _SECRET.fullmatch(cookie):
            return None
        async with connect(self._engine) as connection:
            return await connection.row(_SESSION, {"hmac": await self._hmac(connection, "session", cookie)})

    async def store_again(self, cookie: str, visitor: Visitor) -> None:
        """Store the session of a visitor whose cookie was found good before the database forgot it."""
        async with connect(self._engine) as connection:
            made = await self._hmac(connection, "session", cookie)
            of = {"actor": visitor.actor, "role": visitor.role, "seconds": SESSION_S}
            await connection.run(_STORE, {"hmac": made, **of})

    async def end(self, cookie: str) -> None:
        """End the session of this cookie, here and in every copy of it."""
        async with connect(self._engine) as connection:
            await connection.run(_END, {"hmac": await self._hmac(connection, "session", cookie)})

    async def _hmac(self, connection: Connection, what: str, secret: str) -> bytes:
        if self._hmac_key is None:
            self._hmac_key = (await connection.one(_HMAC_KEY)).hmac_key
        return hmac.digest(self._hmac_key, f"console {what} {secret}".encode(), "sha256")


def form_token(cookie: str) -> str:
    """What each form of this session's pages bears."""
    return hmac.digest(cookie.encode(), b"form", "sha256").hex()


def is_form_token(cookie: str, token: str) -> bool:
    """Whether this session's page made the form. Takes the same time for any token."""
    return hmac.compare_digest(form_token(cookie).encode(), token.encode())


def sealed(cookie: str, text: str) -> str:
    """`text` as a cookie that only this session can have made: hexadecimal digits and a mark."""
    return f"{text.encode().hex()}.{_seal(cookie, text)}"


def unsealed(cookie: str, value: str) -> str | None:
    """The text of `sealed`, or None where this session did not make it."""
    words, _, mark = value.partition(".")
    try:
        text = bytes.fromhex(words).decode()
    except ValueError:
        return None
    return text if hmac.compare_digest(mark.encode(), _seal(cookie, text).encode()) else None


def _seal(cookie: str, text: str) -> str:
    return hmac.digest(cookie.encode(), b"said " + text.encode(), "sha256").hex()
