"""Spans by OpenTelemetry's API, and the one header that carries a trace from process to process (W3C traceparent).

A stranger's `traceparent` is continued; his `tracestate` and baggage are dropped. No span has a text of an error or
anything that was sent, only names, statuses and ids of ours.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST = 512  # characters
_OLD_S = 600.0
Attributes = Mapping[str, Any]  # texts, numbers and lists of them


def provided() -> "Spans | None":
    """Spans of the provider that was set; None where none was."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Spans()


class Spans:
    """Makes the spans of this process."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("effectively-once")

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        *,
        parent: str | None = None,
        links: Iterable[str] = (),
        attributes: Attributes | None = None,
    ) -> Iterator[Span]:
        """A span around a block. `parent`: a traceparent, "" for none; unsaid: the current span."""
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _context(parent),
            kind=kind,
            links=[Link(one) for text in links if (one := span_context(text))],
            attributes=attributes,
            record_exception=False,  # its text may carry the values of a statement
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def serving(self, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """A SERVER span around a request, which its route will name."""
        return self.span("HTTP", SpanKind.SERVER, parent=sent(headers))

    def calling(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """A CLIENT span around a call of another server."""
        return self.span(name, SpanKind.CLIENT, attributes=attributes)

    def sending(self, what: str, promised: Sequence[str]) -> AbstractContextManager[Span]:
        """A CLIENT span around the sending of a message, with a link to what promised each of its rows."""
        return self.span(f"send {what}", SpanKind.CLIENT, parent="", links=promised, attributes=messaging(what, "send"))

    def receiving(self, what: str, sender: str, promised: Sequence[str]) -> AbstractContextManager[Span]:
        """A CONSUMER span around a message, with the same links."""
        attributes = messaging(what, "receive")
        return self.span(f"receive {what}", SpanKind.CONSUMER, parent=sender, links=promised, attributes=attributes)

    def processing(
        self, what: str, promised: str, age_s: float, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """A CONSUMER span around one row, in the trace of what promised it, also when it is tried again.

        An old row has a trace of its own, with a link: a trace that goes on for days is shown by no tool.
        """
        parent, links = ("", [promised]) if age_s > _OLD_S else (promised, [])
        return self.span(
            f"process {what}",
            SpanKind.CONSUMER,
            parent=parent,
            links=[*links, self.traceparent()],
            attributes={**messaging(what, "process"), **attributes},
        )

    def ids(self) -> tuple[str | None, str | None]:
        """The ids of the current trace and span, for a line of the log."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None, None
        return trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)

    def traceparent(self) -> str:
        """That of the current span, empty where there is none."""
        found = trace.get_current_span().get_span_context()
        trace_id, span_id = trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)
        return f"00-{trace_id}-{span_id}-{found.trace_flags:02x}" if found.is_valid else ""

    def created(self, what: str) -> str:
        """The traceparent of a PRODUCER span `create …`: what is promised now is carried out under it."""
        with self.span(f"create {what}", SpanKind.PRODUCER, attributes=messaging(what, "create")):
            return self.traceparent()


def messaging(what: str, operation: str) -> Attributes:
    """The attributes of a span about messages, by OpenTelemetry's conventions."""
    return {
        "messaging.system": "effectively-once",
        "messaging.destination.name": what,
        "messaging.operation.type": operation,
    }


def sent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The traceparent of a request, empty where it has none that is valid, or several."""
    found = [value.decode("latin-1").strip(" \t") for name, value in headers if name == b"traceparent"]
    return found[0] if len(found) == 1 and span_context(found[0]) else ""


def span_context(traceparent: str) -> SpanContext | None:
    """What a traceparent says; None where it is not valid by W3C's Trace Context."""
    match = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= _LONGEST else None
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    flags = TraceFlags(int(match[4], 16) & TraceFlags.SAMPLED)
    context = SpanContext(int(match[2], 16), int(match[3], 16), is_remote=True, trace_flags=flags)
    return context if context.is_valid else None


def _context(traceparent: str) -> Context:
    found = span_context(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(found), Context()) if found else Context()
