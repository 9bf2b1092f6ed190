"""One line of the log per attempt: what was asked of Stripe for which order, how long it took, and what came of it."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from dramatiq.middleware import CurrentMessage

from service.effects import Effect, Settlement
from service.foundation import log, metrics
from service.foundation.events import Event
from service.foundation.lines import LineWriter, now
from service.foundation.log import hashed
from service.foundation.text.secrets import scrubbed
from workers.effects import words_of


@dataclass(frozen=True, slots=True)
class Attempt(Settlement[Effect]):
    """A settlement and the trace of its call; None where no call was made for it alone."""

    trace_id: str | None = None
    span_id: str | None = None


class Line(msgspec.Struct, omit_defaults=True):
    """What is logged of an attempt; `service.foundation.log_fields` says what each field is."""

    ts: str
    level: str
    process: str
    event: str
    kind: str
    account_id: str
    order_id: str
    outbox_id: str
    attempt: int
    key: str
    outcome: str
    answer: str
    message_id: str | None = None
    ms: float | None = None
    stripe_request: str | None = None
    replayed: bool = False
    trace_id: str | None = None
    span_id: str | None = None


class AttemptLog:
    """Writes the lines of a worker, and counts what was settled. Lives in its event loop."""

    def __init__(self) -> None:
        self._lines = LineWriter()

    def note(self, batch: Sequence[Settlement[Effect]], changed: Collection[UUID]) -> None:
        """Write a line for each; `changed` are the ids of the effects that were settled, the others were fenced off."""
        ts, message = now(), CurrentMessage.get_current_message()
        if len(changed) < len(batch):
            log.event(Event.CHARGE_FENCED, count=len(batch) - len(changed))
        for kind, one in zip(words_of(s.effect for s in batch), batch, strict=True):
            effect, answer = one.effect, one.answer
            if effect.id in changed:
                _measure(kind, one)
            self._lines.add(
                Line(
                    ts=ts,
                    level="info",
                    process="worker",
                    event=Event.ATTEMPT_SETTLED,
                    kind=kind,
                    account_id=str(effect.account_id),
                    order_id=str(effect.order_id),
                    outbox_id=str(effect.outbox_id),
                    attempt=effect.deliveries,
                    key=hashed(effect.idempotency_key),
                    outcome=_outcome(one, changed),
                    answer=scrubbed(answer.word) if answer else "not asked",
                    message_id=message.message_id if message else None,
                    ms=one.ms,
                    stripe_request=scrubbed(answer.request_id) if answer and answer.request_id else None,
                    replayed=answer is not None and answer.replayed,
                    trace_id=one.trace_id if isinstance(one, Attempt) else None,
                    span_id=one.span_id if isinstance(one, Attempt) else None,
                )
            )


def _measure(kind: str, stored: Settlement[Effect]) -> None:
    metrics.settled(kind, stored.outcome.status)
    if kind == "charge" and stored.outcome.final:
        metrics.SETTLE_SECONDS.observe(max(0.0, time.time() - stored.effect.born_at.timestamp()))


def _outcome(one: Settlement[Effect], changed: Collection[UUID]) -> str:
    if one.effect.id not in changed:
        return "fenced"
    return "parked" if one.outcome.parked else one.outcome.status
