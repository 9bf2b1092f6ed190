"""Thin events: an event's type and the id of its object, without the object. `/v2/core/events`.

Each event that has a thin version is the same fact under a second id, so no table of their own is needed: `evt_x` is
the snapshot, `evt_test_x` the thin event. Source: the SDK's types and Stripe's page on moving to thin events.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from sandbox import events, paging
from sandbox.documented import STRIPE
from sandbox.errors import ApiError, invalid
from sandbox.objects import Json, encode
from sandbox.params import Form
from sandbox.state import Call, Execution, Sandbox
from sandbox.telling import Recorded

PATH = "/v2/core/events"
TYPES_MAX = 20  # "An array of up to 20 strings", the SDK's docs say
_SNAPSHOT, _THIN, _VERSION = "evt_", "evt_test_", "v1."
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Told(msgspec.Struct):
    """What a thin event says of the object in the snapshot."""

    object: str
    id: str = ""


def thin_type(kind: str) -> str | None:
    """`v1.charge.refunded` for `charge.refunded`; None where Stripe has no thin version."""
    found = _VERSION + kind
    return found if found in STRIPE.thin_events else None


def thin_id(event_id: str) -> str:
    """The id under which the same fact is told as a thin event."""
    return _THIN + event_id.removeprefix(_SNAPSHOT)


def snapshot_id(event_id: str) -> str:
    """The id in `events` of either version."""
    return _SNAPSHOT + event_id.removeprefix(_THIN) if event_id.startswith(_THIN) else event_id


def render(event: Recorded) -> Json:
    """The thin event, as it is delivered and as it is read."""
    request: Json = {"id": event.request_id, "idempotency_key": event.idempotency_key or ""}
    return {
        "id": thin_id(event.id),
        "object": "v2.core.event",
        "changes": None,
        "context": None,
        "created": iso(event.created),
        "livemode": False,
        "reason": None if event.request_id is None else {"type": "request", "request": request},
        "related_object": _related(msgspec.json.decode(event.body, type=Told)),
        "snapshot_event": event.id,
        "type": _VERSION + event.type,
    }


def retrieve(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v2/core/events/:id`."""
    row = None
    if call.object_id.startswith(_THIN):
        oldest = sandbox.clock.now() - events.KEPT_S
        sql = f"SELECT {events.COLUMNS} FROM events WHERE id = ? AND created > ?"
        row = sandbox.store.row(sql, (snapshot_id(call.object_id), oldest))
    if row is None or thin_type(row[2]) is None:
        raise ApiError(404, "invalid_request_error", f"Event {call.object_id} not found.", code="not_found")
    return lambda: encode(render(Recorded(*row)))


def listed(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v2/core/events`, newest first."""
    form = Form(call.params)
    most = paging.limit(form)
    at, backwards = paging.cursor(form)
    conditions: list[tuple[str, list[Any]]] = [
        ("created > ?", [sandbox.clock.now() - events.KEPT_S]),
        *[(f"created {_COMPARISONS[name]} ?", [_seconds(text)]) for name, text in (form.hash("created") or {}).items()],
        _of_types(form.texts("types", most=TYPES_MAX) or sorted(STRIPE.thin_events)),
    ]
    if "object_id" in form:
        conditions.append(("json_extract(CAST(body AS TEXT), '$.id') = ?", [form.text("object_id")]))
    if at is not None:
        conditions.append((f"seq {'>' if backwards else '<'} ?", [at]))

    def execute() -> bytes:
        where = " AND ".join(sql for sql, _ in conditions)
        order = "ASC" if backwards else "DESC"
        rows = sandbox.store.rows(
            f"SELECT seq, {events.COLUMNS} FROM events WHERE {where} ORDER BY seq {order} LIMIT ?",
            (*[value for _, values in conditions for value in values], most + 1),
        )
        items = [(seq, render(Recorded(*row))) for seq, *row in rows]
        return encode(paging.page(PATH, call.params, items, most, first=at is None, backwards=backwards))

    return execute


def iso(seconds: float) -> str:
    """A moment as the second API writes it: `2026-09-30T00:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_types(types: list[str]) -> tuple[str, list[Any]]:
    return f"type IN ({', '.join('?' * len(types))})", [kind.removeprefix(_VERSION) for kind in types]


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"Invalid timestamp: {text[:40]}", param="created") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _related(told: Told) -> Json:
    """Where the object is read: `/v1/charges/ch_…`; a balance has no id."""
    noun = told.object.replace(".", "/")
    if not told.id:
        return {"type": told.object, "url": f"/v1/{noun}"}
    return {"id": told.id, "type": told.object, "url": f"/v1/{noun}s/{told.id}"}
