"""Noting an action of an operator. The table is append-only, as the ledger is (R42)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from service.foundation.postgres.sql import Batch, Connection, Statement

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
    ORDER_CANCEL = "order.cancel"
    ORDER_CAPTURE = "order.capture"
    REFUND_FAIL = "refund.fail"
    REFUND_ASK = "refund.ask"
    NOTICE_RESEND = "notice.resend"
    NOTICE_PARK = "notice.park"
    DISCREPANCY_ACKNOWLEDGE = "discrepancy.acknowledge"
    DISCREPANCY_HEAL = "discrepancy.heal"
    KEY_CREATE = "key.create"
    KEY_ROLL = "key.roll"
    KEY_REVOKE = "key.revoke"
    INSTANCE_FORK = "instance.fork"
    LEDGER_VERIFY = "ledger.verify"
    RECONCILE_RUN = "reconciliation.run"
    CONSOLE_LINK = "console.link"
    CHAOS = "chaos.inject"


Shown = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to one subject. `order_id` is the order that it belongs to, so that an order's page finds it."""

    subject: str
    order_id: UUID | None = None
    before: Shown | None = None
    after: Shown | None = None


class _Notes(Batch, frozen=True):
    """One line of the audit per subject."""

    alias = "n"
    id: Sequence[UUID]
    subject: Sequence[str]
    order_id: Sequence[UUID | None]
    before: Sequence[str | None]
    after: Sequence[str | None]


_NOTE = Statement(f"""
INSERT INTO audit (id, actor, via, action, subject, order_id, reason, before, after)
SELECT n.id, :actor, :via, :action, n.subject, n.order_id, :reason, CAST(n.before AS jsonb), CAST(n.after AS jsonb)
  FROM {_Notes.unnest()}
""")


async def note(
    tx: Connection,
    who: Who,
    action: Action,
    subject: str,
    *,
    reason: str | None = None,
    order_id: UUID | None = None,
    before: Shown | None = None,
    after: Shown | None = None,
) -> None:
    """Note that `who` did `action` to `subject`, in the transaction that does it. Secrets and bodies stay out of it."""
    await note_each(tx, who, action, [Deed(subject, order_id, before, after)], reason=reason)


async def note_each(
    tx: Connection, who: Who, action: Action, deeds: Sequence[Deed], *, reason: str | None = None
) -> None:
    """The same for many subjects, each with a line of its own, by one statement. Nothing done notes nothing."""
    if not deeds:
        return
    notes = _Notes(
        id=[uuid7() for _ in deeds],
        subject=[deed.subject for deed in deeds],
        order_id=[deed.order_id for deed in deeds],
        before=[_json(deed.before) for deed in deeds],
        after=[_json(deed.after) for deed in deeds],
    )
    await tx.run(_NOTE, notes.bound() | {"actor": who.actor, "via": who.via, "action": action, "reason": reason})


def _json(shown: Shown | None) -> str | None:
    return None if shown is None else msgspec.json.encode(shown).decode()
