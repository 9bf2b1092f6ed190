"""The caller of a request, found by the HMAC of its API key (R41), so that a copied table of keys is of no use.

A key that is unknown, revoked or has ended is looked up by the same statement and answered the same. `EO_API_KEY` may
be any text of 20 printable characters or more. An account sees nothing of another account.
"""

import asyncio
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.last_used import LastUsed
from service.accounts.scopes import granted
from service.accounts.wrong_keys import LookUps
from service.foundation.deadlines import KEY_CHECK_S
from service.foundation.errors import Unauthorized, Unavailable
from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.sql import Integer, Record, Statement, connect
from service.foundation.settings import KEY_MAX, KEY_MIN
from service.foundation.text import key_form

T = TypeVar("T")

CACHE_S = 1.0  # for how long the result of a look-up is used
_CACHE_MAX = 10_000  # keys that were found, and hashes of as many that were not
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """The account that sent a request, and the key that it used: what it may do, and its own limit of requests."""

    account_id: UUID
    key_id: str
    scopes: frozenset[str]
    rps: int | None


class _Opens(Record):
    """A key that opens an account."""

    id: str
    account_id: UUID
    hmac: bytes
    scopes: list[str]
    rps: Integer | None
    left_s: float | None


# left_s: until it ends.
_FIND = Statement("""
SELECT id, account_id, hmac, scopes, rps, extract(epoch FROM expires_at - now())::float8 AS left_s FROM api_keys
 WHERE hmac = ANY(CAST(:hmacs AS bytea[])) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
""").returning(_Opens)


@dataclass(frozen=True, slots=True)
class _Found:
    """A caller, and for how long it may be remembered."""

    caller: Caller
    good_s: float


class _Instance(Record):
    hmac_key: bytes


HMAC_KEY = Statement("SELECT hmac_key FROM instance WHERE id = 1").returning(_Instance)


class ApiKeys:
    """Finds the caller of each request of one process by its bearer key.

    A key that was found is remembered for one second and never beyond its end, so a revocation takes effect everywhere
    within one second.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hmac_key: bytes | None = None
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._wrong: dict[bytes, float] = {}  # hashes, so that long keys do not fill the memory
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._unseen = LookUps(self._find)
        self.last_used = LastUsed(engine)

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
        """Whether to look it up: its length is allowed, it has no typo, and was not found wrong in the last second."""
        if not len(_BEARER) + KEY_MIN <= len(authorization) <= len(_BEARER) + KEY_MAX:
            return False
        if key_form.is_mistyped(authorization[len(_BEARER) :]):
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
            found = (await self._find([key])).get(key)
        else:
            found = await self._unseen.get(key)
        if found is None:
            self._known.pop(authorization, None)
            _remember(self._wrong, _digest(authorization), monotonic() + CACHE_S)
            return None
        _remember(self._known, authorization, (monotonic() + found.good_s, found.caller))
        self.last_used.note(found.caller.key_id)
        return found.caller

    async def _find(self, keys: list[bytes]) -> dict[bytes, _Found]:
        """Those of `keys` that open an account. Raises Unavailable."""
        try:
            async with asyncio.timeout(KEY_CHECK_S), connect(self._engine) as connection:
                if self._hmac_key is None:
                    self._hmac_key = (await connection.one(HMAC_KEY)).hmac_key
                by_hmac = {hmac_of(self._hmac_key, key): key for key in keys}
                rows = await connection.rows(_FIND, {"hmacs": list(by_hmac)})
        except Exception as error:
            if is_unreachable(error):
                raise Unavailable("The API key cannot be checked: PostgreSQL is away.") from error
            raise
        return {by_hmac[row.hmac]: _found(row) for row in rows}


class WrongKey(Unauthorized):
    """The key opens no account. An address that sends many such keys is throttled."""


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


def _found(row: _Opens) -> _Found:
    good_s = CACHE_S if row.left_s is None else min(CACHE_S, row.left_s)
    return _Found(Caller(row.account_id, row.id, granted(row.scopes), row.rps), good_s)


def hmac_of(hmac_key: bytes, key: bytes) -> bytes:
    """What is stored of a key."""
    return hmac.digest(hmac_key, key, "sha256")
