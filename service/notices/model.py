"""What producers are told: the types of notices, a fact, and the id that is always the same for it. Pure."""

from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args
from uuid import UUID

import msgspec

NoticeType = Literal[
    "order.paid",
    "order.failed",
    "order.canceled",
    "order.authorized",
    "order.requires_action",
    "refund.succeeded",
    "refund.failed",
    "dispute.opened",
    "dispute.won",
    "dispute.lost",
    "fraud_warning.created",
    "payout.paid",
    "payout.failed",
]
NOTICE_TYPES: tuple[NoticeType, ...] = get_args(NoticeType)

_ID_BYTES = 20


@dataclass(frozen=True, slots=True)
class Fact:
    """What has just become true, for the producers of an account.

    `fact` tells facts of one type and object apart, such as the number of an attempt; it must come out the same where
    a database has forgotten it. `data` is the object as the API shows it.
    """

    account_id: UUID
    type: NoticeType
    object_id: str
    fact: str
    order_id: UUID | None
    data: msgspec.Struct


def webhook_id(fact: Fact) -> str:
    """The id that its receivers know it by: a hash over the length-prefixed parts, the same whoever finds the fact."""
    parts = [fact.account_id.bytes, fact.type.encode(), fact.object_id.encode(), fact.fact.encode()]
    digest = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    return "msg_" + b32encode(digest[:_ID_BYTES]).decode().lower()


class _Envelope(msgspec.Struct):
    type: NoticeType
    timestamp: datetime
    data: msgspec.Struct


def body_of(fact: Fact, at: datetime) -> str:
    """The body of its notices."""
    return msgspec.json.encode(_Envelope(fact.type, at, fact.data)).decode()
