"""`eo status` as text: one row per process, then the state of the outbox and the breaker, then the reasons."""

from collections.abc import Iterator
from socket import gethostname
from typing import Any

from service.monitoring.heartbeats import Beat
from service.monitoring.overview import Overview
from service.monitoring.probes import COUNTED_MAX
from service.ops.status import Status

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def rows(found: Status) -> list[dict[str, Any]]:
    """A row per part that runs here, then per heartbeat of another process. `moved`: when it last did its work."""
    beats = found.fleet.beats if found.fleet else []
    host = gethostname()
    by_process = {(b.process.part, b.process.pid): b for b in reversed(beats) if b.process.host == host}
    parts = found.parts if found.running else {}
    shown = [_here(found, name, pid, by_process.get((name, pid or 0))) for name, pid in parts.items()]
    here = {(host, name, pid) for name, pid in parts.items()}
    others = (b for b in beats if (b.process.host, b.process.part, b.process.pid) not in here)
    return shown + [_elsewhere(beat) for beat in others]


def lines(found: Status) -> Iterator[str]:
    """Lines on the outbox, on the breaker, and on what /health/ready answers."""
    if found.fleet is not None:
        if (outbox := found.fleet.outbox) is not None:
            due, oldest = span(outbox.due_s), span(outbox.oldest_s)
            waiting = f"{_count(outbox.waiting)} wait, the oldest for {oldest}"
            yield f"outbox: {waiting}, overdue by {due}; {outbox.parked} parked"
        if (notices := found.fleet.notices) is not None:
            oldest = f", the oldest for {span(notices.oldest_s)}" if notices.waiting else ""
            yield f"notices: {_count(notices.waiting)} wait{oldest}; {_count(notices.parked)} parked"
        yield f"breaker: {_breaker(found.fleet)}"
        yield from [f"{found.fleet.unanswered}."] if found.fleet.unanswered else []
        yield from found.fleet.unknown
    if found.running:
        yield f"ready: {found.ready or 'the API does not answer'}"
        yield from found.reasons


def _count(rows: int) -> str:
    return f"more than {COUNTED_MAX}" if rows > COUNTED_MAX else str(rows)


def _breaker(fleet: Overview) -> str:
    if not fleet.is_breaker_known:
        return "not known"
    return f"open, nothing is sent ({fleet.breaker})" if fleet.breaker else "closed"


def span(seconds: float) -> str:
    """A duration in its two largest units, for instance `3 h 12 min`."""
    whole = round(seconds)
    if whole >= _DAY_S:
        return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"
    if whole >= _HOUR_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    if whole >= _MINUTE_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    return f"{whole} s"


def _here(found: Status, name: str, pid: int | None, beat: Beat | None) -> dict[str, Any]:
    return {
        "part": name,
        "pid": pid or "-",
        "up": span(found.uptimes_s[name]) if name in found.uptimes_s else "-",
        "restarts": found.restarts.get(name, "-"),
        "moved": _moved(beat),
    }


def _elsewhere(beat: Beat) -> dict[str, Any]:
    process = beat.process
    return {
        "part": process.part,
        "pid": f"{process.pid} on {process.host}",
        "up": "-",
        "restarts": "-",
        "moved": _moved(beat),
    }


def _moved(beat: Beat | None) -> str:
    if beat is None:
        return "-"
    return f"{span(beat.age_s)} ago" + ("" if beat.is_alive else ", silent")
