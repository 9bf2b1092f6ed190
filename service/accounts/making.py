"""Making, rolling and revoking API keys. A key is shown once, by whoever makes it; only its HMAC is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import uuid_utils.compat
from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.accounts.keys import HMAC_KEY, hmac_of
from service.accounts.scopes import Scope
from service.audit import Action, Shown, Who
from service.foundation import log
from service.foundation.errors import Conflict, NotFound
from service.foundation.events import Event
from service.foundation.postgres.sql import Connection, Integer, Record, Statement, begin
from service.foundation.settings import check_api_key
from service.foundation.text import key_form, names

_UNKNOWN = "There is no API key with this public id. `eo keys list` shows them."


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a new key is good for. rps: its own limit of requests per second; None: that of EO_RATE_LIMIT_RPS."""

    scopes: Sequence[Scope] = (Scope.ADMIN,)
    valid_for: timedelta | None = None
    rps: int | None = None
    is_live: bool = False


class _Account(Record):
    id: UUID


class _Added(Record):
    expires_at: datetime | None


_MAKE_ACCOUNT = Statement("INSERT INTO accounts (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING")
_ACCOUNT_NAMED = Statement("SELECT id FROM accounts WHERE name = :name").returning(_Account)
_ADD = Statement("""
INSERT INTO api_keys (id, account_id, hmac, last4, scopes, rps, expires_at, replaces)
VALUES (:id, :account, :hmac, :last4, CAST(:scopes AS text[]), :rps, now() + CAST(:valid_for AS interval), :replaces)
RETURNING expires_at
""").returning(_Added)


async def create_key(
    engine: AsyncEngine, account_name: str, *, who: Who, terms: KeyTerms = KeyTerms()
) -> tuple[str, str]:
    """A new key (public id, key) of the account of that name, which is made where it is missing. Raises BadRequest.

    The key itself is not stored; it can only be shown now.
    """
    name = names.checked(account_name, what="The account's name")
    async with begin(engine) as tx:
        await tx.run(_MAKE_ACCOUNT, {"id": uuid_utils.compat.uuid7(), "name": name})
        account = await tx.one(_ACCOUNT_NAMED, {"name": name})
        public_id, key, shown = await _add(tx, account.id, terms, replaces=None)
        await audit.note(tx, who, Action.KEY_CREATE, public_id, after={"account": name, **shown})
    return public_id, key


async def _add(tx: Connection, account_id: UUID, terms: KeyTerms, *, replaces: str | None) -> tuple[str, str, Shown]:
    """Public id, key, and what the audit may know of it."""
    public_id, key = key_form.make(is_live=terms.is_live)
    hashed, scopes = await _hmac(tx, key), [str(scope) for scope in terms.scopes]
    values = {"id": public_id, "account": account_id, "hmac": hashed, "last4": key[-4:], "scopes": scopes}
    rest = {"rps": terms.rps, "valid_for": terms.valid_for, "replaces": replaces}
    added = await tx.one(_ADD, values | rest)
    return public_id, key, {"scopes": " ".join(scopes), "rps": terms.rps, "expires_at": _text(added.expires_at)}


class _Revoked(Record):
    was_revoked: bool


_REVOKE = Statement("""
WITH was AS (SELECT id, revoked_at FROM api_keys WHERE id = :id FOR UPDATE)
UPDATE api_keys k SET revoked_at = coalesce(k.revoked_at, now()) FROM was WHERE k.id = was.id
RETURNING was.revoked_at IS NOT NULL AS was_revoked
""").returning(_Revoked)


async def revoke_key(engine: AsyncEngine, public_id: str, *, who: Who, reason: str | None = None) -> None:
    """Revoke the key, with effect everywhere within one second. A repeat changes and notes nothing. Raises NotFound."""
    async with begin(engine) as tx:
        key = await tx.row(_REVOKE, {"id": public_id})
        if key is None:
            raise NotFound(_UNKNOWN)
        if not key.was_revoked:
            before, after = {"revoked": False}, {"revoked": True}
            await audit.note(tx, who, Action.KEY_REVOKE, public_id, reason=reason, before=before, after=after)


class _Rolled(Record):
    """A key that is to be rolled. lifetime: for how long it was made; replaced_by: a key in its place that opens.

    An earlier roll has shortened its own time, so then its first successor says for how long it was made.
    """

    account_id: UUID
    scopes: list[str]
    rps: Integer | None
    expires_at: datetime | None
    lifetime: timedelta | None
    is_revoked: bool
    has_ended: bool
    replaced_by: str | None


_ROLLED = Statement("""
SELECT account_id, scopes, rps, expires_at, revoked_at IS NOT NULL AS is_revoked,
       CASE WHEN EXISTS (SELECT FROM api_keys n WHERE n.replaces = k.id)
            THEN (SELECT n.expires_at - n.created_at FROM api_keys n WHERE n.replaces = k.id
                   ORDER BY n.created_at LIMIT 1)
            ELSE expires_at - created_at END AS lifetime,
       coalesce(expires_at <= now(), false) AS has_ended,
       (SELECT n.id FROM api_keys n WHERE n.replaces = k.id AND n.revoked_at IS NULL LIMIT 1) AS replaced_by
  FROM api_keys k WHERE id = :id
""").returning(_Rolled)

# A statement of its own: one that waits for the row goes on with what it saw before, and so without a new successor.
_HOLD = Statement("SELECT FROM api_keys WHERE id = :id FOR UPDATE")
_END = Statement("""
UPDATE api_keys SET expires_at = least(coalesce(expires_at, 'infinity'), now() + CAST(:overlap AS interval))
 WHERE id = :id RETURNING expires_at
""").returning(_Added)


async def roll_key(
    engine: AsyncEngine,
    public_id: str,
    *,
    who: Who,
    overlap: timedelta,
    is_live: bool,
    valid_for: timedelta | None = None,
    reason: str | None = None,
) -> tuple[str, str]:
    """A new key (public id, key) in the place of this one, which ends after `overlap`, or earlier where it does anyway.

    The new one has the same account, scopes and limit, and is good for as long as the old one was made for, unless
    `valid_for` says otherwise. Raises NotFound, and Conflict for a key that opens nothing or was rolled already.
    """
    async with begin(engine) as tx:
        await tx.run(_HOLD, {"id": public_id})
        old = _rollable(await tx.row(_ROLLED, {"id": public_id}))
        scopes = [Scope(scope) for scope in old.scopes]
        terms = KeyTerms(scopes, valid_for or old.lifetime, old.rps, is_live)
        new_id, key, _ = await _add(tx, old.account_id, terms, replaces=public_id)
        ends = await tx.one(_END, {"id": public_id, "overlap": overlap})
        before: Shown = {"expires_at": _text(old.expires_at)}
        after: Shown = {"expires_at": _text(ends.expires_at), "replaced_by": new_id}
        await audit.note(tx, who, Action.KEY_ROLL, public_id, reason=reason, before=before, after=after)
    return new_id, key


def _rollable(old: _Rolled | None) -> _Rolled:
    if old is None:
        raise NotFound(_UNKNOWN)
    if old.is_revoked or old.has_ended:
        raise Conflict("This key opens nothing any more. `eo keys create` makes another.")
    if old.replaced_by is not None:
        raise Conflict(f"This key was rolled to {old.replaced_by} already. Roll that one, or revoke it first.")
    return old


class _Installed(Record):
    opens: bool


_DEFAULT_ACCOUNT = Statement("SELECT id FROM accounts WHERE is_default").returning(_Account)
_INSTALL = Statement("""
INSERT INTO api_keys (id, account_id, hmac, last4) VALUES (:id, :account, :hmac, :last4) ON CONFLICT DO NOTHING
""")
_OPENS = Statement("""
SELECT revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS opens FROM api_keys WHERE hmac = :hmac
""").returning(_Installed)


async def install_key(engine: AsyncEngine, key: str) -> None:
    """Make `key` (EO_API_KEY) a key of the default account. A repeat changes nothing. Raises Misconfigured.

    A key that was revoked or rolled stays so, also where an old environment still names it.
    """
    check_api_key(key)
    async with begin(engine) as tx:
        account = await tx.one(_DEFAULT_ACCOUNT)
        hashed = await _hmac(tx, key)
        # The first letters of its HMAC tell nothing about the key, and are the same at every start.
        public_id = "env" + hashed.hex()[:12]
        await tx.run(_INSTALL, {"id": public_id, "account": account.id, "hmac": hashed, "last4": key[-4:]})
        installed = await tx.one(_OPENS, {"hmac": hashed})
    if not installed.opens:
        log.event(Event.API_KEY_REVOKED)


async def _hmac(connection: Connection, key: str) -> bytes:
    return hmac_of((await connection.one(HMAC_KEY)).hmac_key, key.encode())


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds")
