"""Events: what happened, with the object as it was then, and the request that caused it."""

import msgspec

from sandbox.ids import new_id
from sandbox.objects import Event, encode
from sandbox.state import API_VERSION, Origin
from sandbox.store import Store

# What a listing needs to put an event together again; only the object's own JSON is stored.
COLUMNS = "id, created, type, request_id, idempotency_key, body"


def record(store: Store, kind: str, body: bytes, origin: Origin, at: int) -> None:
    """Write down that `kind` (such as `charge.succeeded`) happened to the object whose JSON is `body`."""
    store.write(
        "INSERT INTO events (id, created, type, request_id, idempotency_key, body) VALUES (?, ?, ?, ?, ?, ?)",
        (new_id("evt_"), at, kind, *origin, body),
    )


def render(row: tuple[str, int, str, str | None, str | None, bytes]) -> bytes:
    """The event's JSON from its COLUMNS."""
    event_id, created, kind, request_id, key, body = row
    event = Event(
        id=event_id,
        api_version=API_VERSION,
        created=created,
        data={"object": msgspec.Raw(body)},
        request={"id": request_id, "idempotency_key": key},
        type=kind,
    )
    return encode(event)
