"""The trace of a message: which spans promised its rows, and the spans around its work. Nothing where traces are off.

What is open is kept in context variables and never in the options of a message, which are serialised.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from service.effects import Effect
from service.foundation import tracing
from service.foundation.broker_keys import CHARGE_QUEUE

_OPTION = "otel"
_PROMISED: ContextVar[Mapping[str, str]] = ContextVar("promised")
_OPEN: ContextVar[ExitStack | None] = ContextVar("open", default=None)


def sending(promised: list[str]) -> AbstractContextManager[object]:
    """The span around the sending of a message whose rows were promised in these spans."""
    return nullcontext() if tracing.spans is None else tracing.spans.sending(CHARGE_QUEUE, promised)


def options_of(promised: Sequence[str]) -> dict[str, Any]:
    """The options of such a message, in the order of its rows."""
    if tracing.spans is None or not promised:
        return {}
    return {_OPTION: {"traceparent": tracing.spans.traceparent(), "promised": promised}}


class TracedMessages(Middleware):
    """Opens a span around each message."""

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Open it, in the context that the actor inherits."""
        del broker
        found = message.options.get(_OPTION)
        if tracing.spans is None or not isinstance(found, dict):
            return
        promised = found["promised"]
        stack = ExitStack()
        stack.enter_context(tracing.spans.receiving(CHARGE_QUEUE, found["traceparent"], promised))
        _PROMISED.set(dict(zip(message.args[0], promised, strict=True)))
        _OPEN.set(stack)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        """Close it."""
        del broker, message, result, exception
        _close()

    def after_skip_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """The same for a message that was not worked on."""
        del broker, message
        _close()


def _close() -> None:
    if stack := _OPEN.get():
        _OPEN.set(None)
        stack.close()


@contextmanager
def processing(effect: Effect) -> Iterator[tuple[str | None, str | None]]:
    """The span around the call of one effect; gives the ids of its trace and of itself."""
    if tracing.spans is None:
        yield None, None
        return
    attributes = {"messaging.message.id": str(effect.outbox_id), "eo.deliveries": effect.deliveries}
    promised = _PROMISED.get({}).get(str(effect.outbox_id), "")
    with tracing.spans.processing(CHARGE_QUEUE, promised, _age_s(effect.outbox_id), attributes):
        yield tracing.spans.ids()


def _age_s(row_id: UUID) -> float:
    """Seconds since the row was promised, by its id, which is a UUIDv7."""
    return time.time() - (row_id.int >> 80) / 1000
