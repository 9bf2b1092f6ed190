"""A locked outbox row with its order, and the request that is sent for the effect it owes.

The parameters are made once, when the effect is opened, stored, and re-sent from the store: a rebuild could drift (a
changed description, a new default of ours) and Stripe refuses a re-send that differs. Only what is proven not to have
run is built anew, so that newer code can mend what Stripe refused (R33).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from service.foundation.postgres.sql import Record

# Pinned with the parameters: the same request under another version of Stripe's API is another request.
STRIPE_VERSION = "2026-10-28.endive"


class Request(NamedTuple):
    """What is sent: the parameters, and the version of Stripe's API that they are meant for."""

    params: Mapping[str, Any]
    version: str


def request_to_send(stored: Request, build: Callable[[], Request], *, maybe_executed: bool) -> Request:
    """Of an effect that is met again: as stored where it may have run, for Stripe compares; else built now (R33)."""
    return stored if maybe_executed else build()


class LockedRow(Record):
    """An outbox row and its order, which is locked; `metadata` is JSON.

    attempt: of a charge, else 0. effect: the id of a change or refund, else None. life: the verified life of the database,
    where `is_verified` says that it is in one. now: the database's clock.
    """

    outbox_id: UUID
    kind: str
    attempt: int
    effect: UUID | None
    deliveries: int
    opens_unsettled: int
    opens_alone: int
    is_early: bool
    order_id: UUID
    account_id: UUID
    is_default: bool
    idempotency_key: str
    amount_minor: int
    currency: str
    capture: str
    payment_method: str | None
    customer: str | None
    description: str | None
    metadata: str
    fingerprint: bytes
    status: str
    created_at: datetime
    now: datetime
    is_verified: bool
    life: int
    instance: UUID
