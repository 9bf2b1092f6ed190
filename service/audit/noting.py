"""Noting an action of an operator. The table is append-only, as the ledger is."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec
from uuid_utils.compat import uuid7

from service.foundation.postgres.sql import Connection, Statement

Via = Literal["cli", "console", "api"]


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, by which way. `actor` is a user of the machine, who opened the console, or an API key's public id."""

    actor: str
    via: Via


class Action(StrEnum):
    """What operators do, as `subject.verb`."""

    OUTBOX_RETRY = "outbox.retry"
    OUTBOX_PARK = "outbox.park"
    ORDER_FAIL = "order.fail"
    REFUND_FAIL = "refund.fail"
    REFUND_ASK = "refund.ask"
    NOTICE_RESEND = "notice.resend"
    DISCREPANCY_ACKNOWLEDGE = "discrepancy.acknowledge"
    DISCREPANCY_HEAL = "discrepancy.heal"
    KEY_CREATE = "key.create"
    KEY_ROLL = "key.roll"
    KEY_REVOKE = "key.revoke"
    LEDGER_VERIFY = "ledger.verify"
    RECONCILE_RUN = "reconciliation.run"
    CONSOLE_LINK = "console.link"
    CHAOS = "chaos.inject"


_NOTE = Statement("""
INSERT INTO audit (id, actor, via, action, subject, reason, before, after)
VALUES (:id, :actor, :via, :action, :subject, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb))
""")

Shown = Mapping[str, str | int | bool | None]


async def note(
    tx: Connection,
    who: Who,
    action: Action,
    subject: str,
    *,
    reason: str | None = None,
    before: Shown | None = None,
    after: Shown | None = None,
) -> None:
    """Note that `who` did `action` to `subject`, in the transaction that does it. Secrets and bodies stay out of it."""
    await tx.run(
        _NOTE,
        {
            "id": uuid7(),
            "actor": who.actor,
            "via": who.via,
            "action": action,
            "subject": subject,
            "reason": reason,
            "before": _json(before),
            "after": _json(after),
        },
    )


def _json(shown: Shown | None) -> str | None:
    return None if shown is None else msgspec.json.encode(shown).decode()
