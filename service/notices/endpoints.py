"""Endpoints: where a producer wants to be told, and the secret by which it knows that it is us.

Each POST is insert-first under its key, so a repeat makes nothing. A secret is shown once, by the POST that made it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.foundation.errors import BadRequest, Conflict, NotFound, UnprocessableKey
from service.foundation.fields import Id, Instant
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect
from service.foundation.settings import Settings
from service.foundation.text.screening import screen
from service.notices.addresses import URL_MAX, is_of_the_internet, receiver_of
from service.notices.lanes import ROLL_OVERLAP
from service.notices.model import NOTICE_TYPES, NoticeType
from service.notices.posting import addresses_of
from service.notices.signing import secret_of
from service.orders.identity import fingerprint, same_request

ENDPOINTS_MAX = 16  # of an account: each fact is written once per endpoint
ROLLS_MAX = 4  # of a secret in a day: each of them signs
_LAST_ID = UUID(int=2**128 - 1)


class WebhookEndpointRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a producer wants to be told, and of what."""

    url: Annotated[str, Meta(min_length=1, max_length=URL_MAX, description="https; an address of the internet")]
    events: Annotated[list[NoticeType], Meta(min_length=1, max_length=len(NOTICE_TYPES))]


class WebhookEndpoint(Struct, frozen=True):
    """An endpoint as it is now. `secret` is shown once: by the POST that made it, and no replay."""

    id: Id
    url: str
    events: list[NoticeType]
    status: Annotated[str, Meta(description="`enabled`; `gone`: it answered 410 and is sent nothing any more")]
    secret: str | None
    created_at: Instant


class WebhookEndpointPage(Struct, frozen=True):
    """One page of endpoints, newest first. `next_cursor` is null on the last page."""

    data: list[WebhookEndpoint]
    next_cursor: str | None


class _Row(Record):
    id: UUID
    fingerprint: bytes
    url: str
    events: list[NoticeType]
    rolls: int
    is_gone: bool
    is_deleted: bool
    created_at: datetime


_COLUMNS = """id, fingerprint, url, events, rolls, gone_at IS NOT NULL AS is_gone, deleted_at IS NOT NULL AS is_deleted,
  created_at"""


def _shown(row: _Row, secret: str | None = None) -> WebhookEndpoint:
    status = "gone" if row.is_gone else "enabled"
    return WebhookEndpoint(str(row.id), row.url, row.events, status, secret, row.created_at)


def check_endpoint(request: WebhookEndpointRequest, key: str) -> None:
    """What no shape can say, and asks nobody. Raises BadRequest."""
    screen([key, request.url])
    if len(set(request.events)) != len(request.events):
        raise BadRequest("events names one of them twice.", code="body-invalid")


class _Key(Record):
    hmac_key: bytes


_HMAC_KEY = Statement("SELECT hmac_key FROM instance WHERE id = 1").returning(_Key)

_KNOWN = Statement(f"""
SELECT {_COLUMNS} FROM webhook_endpoints WHERE account_id = :account AND idempotency_key = :key
""").returning(_Row)

_INSERT = Statement(f"""
INSERT INTO webhook_endpoints (id, account_id, idempotency_key, fingerprint, url, events)
SELECT :id, :account, :key, :fingerprint, :url, CAST(:events AS text[])
 WHERE (SELECT count(*) FROM webhook_endpoints WHERE account_id = :account AND deleted_at IS NULL) < {ENDPOINTS_MAX}
ON CONFLICT (account_id, idempotency_key) DO NOTHING
RETURNING {_COLUMNS}
""").returning(_Row)


# Its count is right only where no other request of the account counts meanwhile.
_ALONE = Statement("""
SELECT FROM pg_advisory_xact_lock(hashtextextended('webhook_endpoints of ' || CAST(:account AS uuid)::text, 0))
""")


async def is_known(engine: AsyncEngine, account_id: UUID, key: str) -> bool:
    """Whether the key has made an endpoint before; asked before a rate limit refuses what would only be a replay."""
    async with connect(engine) as connection:
        return await connection.row(_KNOWN, {"account": account_id, "key": key}) is not None


async def check_reachable(request: WebhookEndpointRequest, settings: Settings) -> None:
    """Raises BadRequest for an URL that nothing is sent to. One that cannot be resolved now is no such URL: each send
    looks again.
    """
    receiver = receiver_of(request.url, may_be_http=settings.notice_http)
    if settings.notice_private:
        return
    try:
        found = await addresses_of(receiver)
    except (OSError, ValueError):  # a TimeoutError, too
        return
    if not all(is_of_the_internet(address) for address in found):
        raise BadRequest(
            "url leads to an address that is not of the internet: private, loopback, link-local or reserved. "
            "Set EO_NOTICE_PRIVATE=1 where that is meant.",
            code="url-refused",
        )


async def create(
    engine: AsyncEngine, account_id: UUID, key: str, request: WebhookEndpointRequest
) -> tuple[WebhookEndpoint, bool]:
    """The endpoint, and whether it was made by an earlier request. Raises Conflict, UnprocessableKey."""
    which: dict[str, object] = {"account": account_id, "key": key}
    new = {"id": uuid7(), "fingerprint": fingerprint(request), "url": request.url, "events": request.events}
    async with begin(engine) as tx:
        await tx.run(_ALONE, {"account": account_id})
        if (made := await tx.row(_INSERT, which | new)) is not None:
            return _shown(made, await _secret(tx, made.id, 0)), False
        known = await tx.row(_KNOWN, which)
    if known is None:
        raise Conflict(f"The account has {ENDPOINTS_MAX} endpoints. DELETE one of them first.")
    if not same_request(known.fingerprint, request):
        raise UnprocessableKey("This idempotency key was used for another endpoint. Use a new key.")
    return _shown(known), True


async def _secret(connection: Connection, endpoint_id: UUID, nth: int) -> str:
    return secret_of((await connection.one(_HMAC_KEY)).hmac_key, endpoint_id, nth)


_GET = Statement(f"""
SELECT {_COLUMNS} FROM webhook_endpoints WHERE account_id = :account AND id = :id AND deleted_at IS NULL
""").returning(_Row)


async def get(engine: AsyncEngine, account_id: UUID, endpoint_id: UUID) -> WebhookEndpoint:
    """The endpoint. Raises NotFound, also when it is deleted, or another account's."""
    async with connect(engine) as connection:
        row = await connection.row(_GET, {"account": account_id, "id": endpoint_id})
    if row is None:
        raise NotFound("There is no such endpoint.")
    return _shown(row)


_PAGE = Statement(f"""
SELECT {_COLUMNS} FROM webhook_endpoints
 WHERE account_id = :account AND id < :before AND deleted_at IS NULL ORDER BY id DESC LIMIT :limit
""").returning(_Row)


async def page(
    engine: AsyncEngine, account_id: UUID, *, limit: int, before: UUID | None
) -> tuple[Sequence[WebhookEndpoint], bool]:
    """Up to `limit` endpoints older than `before`, newest first, and whether there are more."""
    values = {"account": account_id, "limit": limit + 1, "before": before or _LAST_ID}
    async with connect(engine) as connection:
        rows = await connection.rows(_PAGE, values)
    return [_shown(row) for row in rows[:limit]], len(rows) > limit


_DELETE = Statement(f"""
UPDATE webhook_endpoints SET deleted_at = now() WHERE account_id = :account AND id = :id AND deleted_at IS NULL
RETURNING {_COLUMNS}
""").returning(_Row)


async def delete(engine: AsyncEngine, account_id: UUID, endpoint_id: UUID) -> None:
    """Nothing is sent to it any more. Raises NotFound, also where it is deleted already."""
    async with connect(engine) as connection:
        if await connection.row(_DELETE, {"account": account_id, "id": endpoint_id}) is None:
            raise NotFound("There is no such endpoint.")


_LOCK = Statement(f"""
SELECT {_COLUMNS} FROM webhook_endpoints
 WHERE account_id = :account AND id = :id AND deleted_at IS NULL FOR NO KEY UPDATE
""").returning(_Row)


class _Roll(Record):
    endpoint_id: UUID


_ROLLED = Statement("""
SELECT endpoint_id FROM endpoint_rolls WHERE account_id = :account AND idempotency_key = :key
""").returning(_Roll)

_REMEMBER = Statement(f"""
INSERT INTO endpoint_rolls (id, account_id, endpoint_id, idempotency_key, nth)
SELECT :roll, :account, :id, :key, :nth
 WHERE (SELECT count(*) FROM endpoint_rolls
         WHERE endpoint_id = :id AND created_at > now() - CAST(:overlap AS interval)) < {ROLLS_MAX}
ON CONFLICT (account_id, idempotency_key) DO NOTHING
RETURNING endpoint_id
""").returning(_Roll)

_SET = Statement("UPDATE webhook_endpoints SET rolls = :nth WHERE id = :id")


async def roll(engine: AsyncEngine, account_id: UUID, endpoint_id: UUID, key: str) -> tuple[WebhookEndpoint, bool]:
    """The endpoint with a new secret, and whether an earlier request rolled it. The secret before signs for a day, too.

    Raises NotFound, Conflict, UnprocessableKey.
    """
    account: dict[str, object] = {"account": account_id}
    async with begin(engine) as tx:
        row = await tx.row(_LOCK, account | {"id": endpoint_id})
        if row is None:
            raise NotFound("There is no such endpoint.")
        nth = row.rolls + 1
        new = {"roll": uuid7(), "id": row.id, "key": key, "nth": nth, "overlap": ROLL_OVERLAP}
        if await tx.row(_REMEMBER, account | new) is not None:
            await tx.run(_SET, {"id": row.id, "nth": nth})
            return _shown(row, await _secret(tx, row.id, nth)), False
        known = await tx.row(_ROLLED, account | {"key": key})
    if known is None:
        raise Conflict(f"The secret was rolled {ROLLS_MAX} times within a day. Wait until the oldest signs no more.")
    if known.endpoint_id != endpoint_id:
        raise UnprocessableKey("This idempotency key has rolled the secret of another endpoint. Use a new key.")
    return _shown(row), True
