"""What those who wait for a batch are told."""

import asyncio
from collections.abc import Sequence

from service.foundation.errors import BadRequest, NotConfirmed, UnprocessableKey
from service.foundation.postgres.db import LOCK_TIMEOUT, sqlstate
from service.orders.store import Candidate, Placed

Waiting = tuple[Candidate, asyncio.Future[Placed]]


def answer(batch: Sequence[Waiting], results: Sequence[Placed | UnprocessableKey | BadRequest]) -> None:
    """Give each waiter its result."""
    for (_, future), result in zip(batch, results, strict=True):
        if future.done():  # its client went away
            continue
        if isinstance(result, Placed):
            future.set_result(result)
        else:
            future.set_exception(result)


def reject(batch: Sequence[Waiting], error: Exception) -> None:
    """Tell whoever still waits."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def refusal(error: Exception) -> Exception:
    """What a waiter is told of an error that concerns its key alone."""
    if sqlstate(error) == LOCK_TIMEOUT:
        return not_confirmed("Another request with this key is being stored; the order is not confirmed.")
    return error


def not_confirmed(what: str) -> NotConfirmed:
    """The order may be stored, or not; repeating the request finds out."""
    return NotConfirmed(f"{what} Repeat the request with the same key.", retry_after_s=1)
