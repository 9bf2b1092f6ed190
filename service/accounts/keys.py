"""API keys: made here, shown once, found by their HMAC, so that a copied table of them is of no use.

A made key is `eo_test_<public id>_<secret>`; the public id is safe to print and log. `EO_API_KEY` may be any text of 20
printable characters or more. An account sees nothing of another account.
"""

import asyncio
import hmac
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from time import monotonic
from typing import TypeVar
from uuid import UUID

import uuid_utils.compat
from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.accounts.wrong_keys import LookUps
from service.audit import Action, Who
from service.foundation import log
from service.foundation.deadlines import KEY_CHECK_S
from service.foundation.errors import NotFound, Unauthorized, Unavailable
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect
from service.foundation.settings import KEY_MAX, KEY_MIN, check_api_key
from service.foundation.text import names

T = TypeVar("T")

CACHE_S = 1.0  # for how long the result of a look-up is used
_CACHE_MAX = 10_000  # keys that were found, and hashes of as many that were not
_BEARER = b"bearer "
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 40  # of 62 letters: 238 bits


@dataclass(frozen=True, slots=True)
class Caller:
    """The account that sent a request, and the key that it used."""

    account_id: UUID
    key_id: str


class _Opens(Record):
    """A key that opens an account."""

    id: str
    account_id: UUID
    hmac: bytes


_FIND = Statement("""
SELECT id, account_id, hmac FROM api_keys WHERE hmac = ANY(CAST(:hmacs AS bytea[])) AND revoked_at IS NULL
""").returning(_Opens)


class ApiKeys:
    """Finds the caller of each request of one process by its bearer key.

    A key that was found is remembered for one second, so a revocation takes effect everywhere within one second.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hmac_key: bytes | None = None
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._wrong: dict[bytes, float] = {}  # hashes, so that long keys do not fill the memory
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._unseen = LookUps(self._find)

    async def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """The caller named by the Authorization header. Raises Unauthorized, or Unavailable without a look-up."""
        authorization = _authorization(headers)
        known = self._known.get(authorization)
        if known is not None and known[0] > monotonic():
            return known[1]
        caller = await self._ask_once(authorization) if self._may_be_one(authorization) else None
        if caller is None:
            raise WrongKey("The API key is not valid.")
        return caller

    def _may_be_one(self, authorization: bytes) -> bool:
        """Whether to look it up: its length is allowed, and it was not found wrong within the last second."""
        if not len(_BEARER) + KEY_MIN <= len(authorization) <= len(_BEARER) + KEY_MAX:
            return False
        return self._wrong.get(_digest(authorization), 0.0) <= monotonic()

    async def _ask_once(self, authorization: bytes) -> Caller | None:
        """Look a key up once for all requests that wait for it; an error reaches these requests only."""
        task = self._asking.get(authorization)
        if task is None:
            task = self._asking[authorization] = asyncio.create_task(self._ask(authorization))
            task.add_done_callback(lambda _: self._asking.pop(authorization, None))
        return await asyncio.shield(task)

    async def _ask(self, authorization: bytes) -> Caller | None:
        key = authorization[len(_BEARER) :]
        # A key that was found before does not wait behind guessed keys.
        if authorization in self._known:
            caller = (await self._find([key])).get(key)
        else:
            caller = await self._unseen.get(key)
        if caller is None:
            self._known.pop(authorization, None)
            _remember(self._wrong, _digest(authorization), monotonic() + CACHE_S)
        else:
            _remember(self._known, authorization, (monotonic() + CACHE_S, caller))
        return caller

    async def _find(self, keys: list[bytes]) -> dict[bytes, Caller]:
        """Those of `keys` that open an account. Raises Unavailable."""
        try:
            async with asyncio.timeout(KEY_CHECK_S), connect(self._engine) as connection:
                if self._hmac_key is None:
                    self._hmac_key = (await connection.one(_HMAC_KEY)).hmac_key
                by_hmac = {_hmac(self._hmac_key, key): key for key in keys}
                rows = await connection.rows(_FIND, {"hmacs": list(by_hmac)})
        except Exception as error:
            if is_unreachable(error):
                raise Unavailable("The API key cannot be checked: PostgreSQL is away.") from error
            raise
        return {by_hmac[row.hmac]: Caller(row.account_id, row.id) for row in rows}


class WrongKey(Unauthorized):
    """The key opens no account. An address that sends many such keys is throttled."""


class _Account(Record):
    id: UUID


_MAKE_ACCOUNT = Statement("INSERT INTO accounts (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING")
_ACCOUNT_NAMED = Statement("SELECT id FROM accounts WHERE name = :name").returning(_Account)
_ADD = Statement("INSERT INTO api_keys (id, account_id, hmac, last4) VALUES (:id, :account, :hmac, :last4)")


async def create_key(engine: AsyncEngine, account_name: str, *, who: Who) -> tuple[str, str]:
    """A new key (public id, key) of the account of that name, which is made where it is missing. Raises BadRequest.

    The key itself is not stored; it can only be shown now.
    """
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    key = f"eo_test_{public_id}_{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))}"
    name = names.checked(account_name, what="The account's name")
    async with begin(engine) as tx:
        await tx.run(_MAKE_ACCOUNT, {"id": uuid_utils.compat.uuid7(), "name": name})
        account = await tx.one(_ACCOUNT_NAMED, {"name": name})
        hashed = await _hmac_of(tx, key)
        await tx.run(_ADD, {"id": public_id, "account": account.id, "hmac": hashed, "last4": key[-4:]})
        await audit.note(tx, who, Action.KEY_CREATE, public_id, after={"account": name})
    return public_id, key


class KeyRow(Record):
    """A key without its secret."""

    id: str
    account: str
    last4: str
    created_at: datetime
    revoked_at: datetime | None


_LIST = Statement("""
SELECT k.id, a.name AS account, k.last4, k.created_at, k.revoked_at
  FROM api_keys k JOIN accounts a ON a.id = k.account_id ORDER BY k.created_at DESC
""").returning(KeyRow)


async def list_keys(engine: AsyncEngine) -> list[dict[str, str | datetime | None]]:
    """All keys without their secrets: id, account, last4, created_at, revoked_at; newest first."""
    async with connect(engine) as connection:
        return [dict(row.items()) for row in await connection.rows(_LIST)]


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
            raise NotFound("There is no API key with this public id. `eo keys list` shows them.")
        if not key.was_revoked:
            before, after = {"revoked": False}, {"revoked": True}
            await audit.note(tx, who, Action.KEY_REVOKE, public_id, reason=reason, before=before, after=after)


class _Installed(Record):
    is_revoked: bool


_DEFAULT_ACCOUNT = Statement("SELECT id FROM accounts WHERE is_default").returning(_Account)
_INSTALL = Statement("""
INSERT INTO api_keys (id, account_id, hmac, last4) VALUES (:id, :account, :hmac, :last4) ON CONFLICT DO NOTHING
""")
_IS_REVOKED = Statement("""
SELECT revoked_at IS NOT NULL AS is_revoked FROM api_keys WHERE hmac = :hmac
""").returning(_Installed)


async def install_key(engine: AsyncEngine, key: str) -> None:
    """Make `key` (EO_API_KEY) a key of the default account. A repeat changes nothing. Raises Misconfigured.

    A revoked key stays revoked, also where an old environment still names it.
    """
    check_api_key(key)
    async with begin(engine) as tx:
        account = await tx.one(_DEFAULT_ACCOUNT)
        hashed = await _hmac_of(tx, key)
        # The first letters of its HMAC tell nothing about the key, and are the same at every start.
        public_id = "env" + hashed.hex()[:12]
        await tx.run(_INSTALL, {"id": public_id, "account": account.id, "hmac": hashed, "last4": key[-4:]})
        installed = await tx.one(_IS_REVOKED, {"hmac": hashed})
    if installed.is_revoked:
        log.event(Event.API_KEY_REVOKED)


class _Instance(Record):
    hmac_key: bytes


_HMAC_KEY = Statement("SELECT hmac_key FROM instance WHERE id = 1").returning(_Instance)


async def _hmac_of(connection: Connection, key: str) -> bytes:
    return _hmac((await connection.one(_HMAC_KEY)).hmac_key, key.encode())


def _authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) != 1 or found[0][: len(_BEARER)].lower() != _BEARER:
        raise Unauthorized("Send one header `Authorization: Bearer <API key>`.")
    return found[0]


def _digest(authorization: bytes) -> bytes:
    return sha256(authorization).digest()


def _remember(cache: dict[bytes, T], name: bytes, value: T) -> None:
    if len(cache) >= _CACHE_MAX:
        cache.clear()
    cache[name] = value


def _hmac(hmac_key: bytes, key: bytes) -> bytes:
    return hmac.digest(hmac_key, key, "sha256")
