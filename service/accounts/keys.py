"""API keys: made here, shown once, found by their HMAC. A copied table opens no door.

A made key is `eo_test_<public id>_<secret>`; the public id is safe to print and log. `EO_API_KEY` may be any text of 20
printable characters or more. Accounts see nothing of each other.
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
from typing import Any, TypeVar
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.wrong_keys import LookUps
from service.foundation import log
from service.foundation.deadlines import KEY_CHECK_S
from service.foundation.errors import NotFound, Unauthorized, Unavailable
from service.foundation.events import Event
from service.foundation.postgres.db import autocommit, is_unreachable
from service.foundation.settings import KEY_MAX, KEY_MIN, check_api_key
from service.foundation.text import names

T = TypeVar("T")

CACHE_S = 1.0
_CACHE_MAX = 10_000  # keys that were found, and hashes of as many that were not
_BEARER = b"bearer "
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 40  # of 62 letters: 238 bits


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from: an account, by one of its keys."""

    account_id: UUID
    key_id: str


class ApiKeys:
    """Who a bearer key belongs to, for one process.

    A key that was found is remembered for one second, so a revocation is effective everywhere within one second.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hmac_key: bytes | None = None
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._wrong: dict[bytes, float] = {}  # hashes, so that nobody fills the memory with long keys
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._strangers = LookUps(self._find)

    async def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """The caller named by the Authorization header. Raises Unauthorized; Unavailable when it cannot be known."""
        authorization = _authorization(headers)
        known = self._known.get(authorization)
        if known is not None and known[0] > monotonic():
            return known[1]
        caller = await self._ask_once(authorization) if self._may_be_one(authorization) else None
        if caller is None:
            raise WrongKey("The API key is not valid.")
        return caller

    def _may_be_one(self, authorization: bytes) -> bool:
        """Whether it is worth a look: long enough, not too long, and not found wrong within the last second."""
        if not len(_BEARER) + KEY_MIN <= len(authorization) <= len(_BEARER) + KEY_MAX:
            return False
        return self._wrong.get(_digest(authorization), 0.0) <= monotonic()

    async def _ask_once(self, authorization: bytes) -> Caller | None:
        """One question for all requests that come with the same key at the same time; it fails for its waiters only."""
        task = self._asking.get(authorization)
        if task is None:
            task = self._asking[authorization] = asyncio.create_task(self._ask(authorization))
            task.add_done_callback(lambda _: self._asking.pop(authorization, None))
        return await asyncio.shield(task)

    async def _ask(self, authorization: bytes) -> Caller | None:
        key = authorization[len(_BEARER) :]
        # Who was found before waits behind nobody's guesses.
        if authorization in self._known:
            caller = (await self._find([key])).get(key)
        else:
            caller = await self._strangers.get(key)
        if caller is None:
            self._known.pop(authorization, None)
            _remember(self._wrong, _digest(authorization), monotonic() + CACHE_S)
        else:
            _remember(self._known, authorization, (monotonic() + CACHE_S, caller))
        return caller

    async def _find(self, keys: list[bytes]) -> dict[bytes, Caller]:
        """Those of `keys` that open an account. Raises Unavailable."""
        try:
            async with asyncio.timeout(KEY_CHECK_S), autocommit(self._engine).connect() as connection:
                if self._hmac_key is None:
                    self._hmac_key = (await connection.execute(_HMAC_KEY)).scalar_one()
                by_hmac = {_hmac(self._hmac_key, key): key for key in keys}
                rows = (await connection.execute(_FIND, {"hmacs": list(by_hmac)})).all()
        except Exception as error:
            if is_unreachable(error):
                raise Unavailable("The API key cannot be checked: PostgreSQL is away.") from error
            raise
        return {by_hmac[bytes(row.hmac)]: Caller(row.account_id, row.id) for row in rows}


class WrongKey(Unauthorized):
    """A key was sent and opens nothing: whoever sends many of them is throttled."""


async def create_key(engine: AsyncEngine, account_name: str) -> tuple[str, str]:
    """A new key (public id, key) of the account of that name, which is made where it is missing. Raises BadRequest.

    The key itself is not kept: whoever is shown it is the only one who has it.
    """
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    key = f"eo_test_{public_id}_{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))}"
    account = {"id": uuid_utils.compat.uuid7(), "name": names.checked(account_name, what="The account's name")}
    async with engine.begin() as connection:
        await connection.execute(_MAKE_ACCOUNT, account)
        account_id = (await connection.execute(_ACCOUNT_NAMED, account)).scalar_one()
        await connection.execute(_ADD, await _key_row(connection, public_id, account_id, key))
    return public_id, key


async def list_keys(engine: AsyncEngine) -> list[dict[str, str | datetime | None]]:
    """All keys without their secrets: id, account, last4, created_at, revoked_at; newest first."""
    async with autocommit(engine).connect() as connection:
        return [dict(row) for row in (await connection.execute(_LIST)).mappings()]


async def revoke_key(engine: AsyncEngine, public_id: str) -> None:
    """Make the key useless, everywhere within one second. Revoking twice is fine. Raises NotFound."""
    async with autocommit(engine).connect() as connection:
        if (await connection.execute(_REVOKE, {"id": public_id})).first() is None:
            raise NotFound("There is no API key with this public id. `eo keys list` shows them.")


async def install_key(engine: AsyncEngine, key: str) -> None:
    """Make `key` (EO_API_KEY) open the default account. Doing it again changes nothing. Raises Misconfigured.

    A revoked key stays revoked, whatever an old environment still says.
    """
    check_api_key(key)
    async with engine.begin() as connection:
        account_id = (await connection.execute(_DEFAULT_ACCOUNT)).scalar_one()
        row = await _key_row(connection, "", account_id, key)
        # The first letters of an HMAC tell nothing of the key, and are the same at every start.
        await connection.execute(_INSTALL, row | {"id": "env" + row["hmac"].hex()[:12]})
        revoked = (await connection.execute(_IS_REVOKED, {"hmac": row["hmac"]})).scalar_one()
    if revoked:
        log.event(Event.API_KEY_REVOKED)


async def _key_row(connection: Any, public_id: str, account_id: UUID, key: str) -> dict[str, Any]:
    hmac_key = (await connection.execute(_HMAC_KEY)).scalar_one()
    return {"id": public_id, "account": account_id, "hmac": _hmac(hmac_key, key.encode()), "last4": key[-4:]}


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


_HMAC_KEY = text("SELECT hmac_key FROM instance WHERE id = 1")
_FIND = text("SELECT id, account_id, hmac FROM api_keys WHERE hmac = ANY(:hmacs) AND revoked_at IS NULL")
_MAKE_ACCOUNT = text("INSERT INTO accounts (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING")
_ACCOUNT_NAMED = text("SELECT id FROM accounts WHERE name = :name")
_DEFAULT_ACCOUNT = text("SELECT id FROM accounts WHERE is_default")
_ADD = text("INSERT INTO api_keys (id, account_id, hmac, last4) VALUES (:id, :account, :hmac, :last4)")
_INSTALL = text(
    "INSERT INTO api_keys (id, account_id, hmac, last4) VALUES (:id, :account, :hmac, :last4) ON CONFLICT DO NOTHING"
)
_IS_REVOKED = text("SELECT revoked_at IS NOT NULL FROM api_keys WHERE hmac = :hmac")
_REVOKE = text("UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING id")
_LIST = text(
    "SELECT k.id, a.name AS account, k.last4, k.created_at, k.revoked_at"
    " FROM api_keys k JOIN accounts a ON a.id = k.account_id ORDER BY k.created_at DESC"
)
