"""Events: what happened, with the object as it was then, and the request that caused it."""

import msgspec

from sandbox.ids import new_id
from sandbox.objects import Event, encode
from sandbox.state import API_VERSION, Origin
from sandbox.store import Store

# What a listing needs to put an event together again; only the object's own JSON is stored.
COLUMNS = "id, created, type, request_id, idempotency_key, body, previous"
# Stripe gives events back for 30 days.
KEPT_S = 30 * 86_400


def record(store: Store, kind: str, body: bytes, origin: Origin, at: int, previous: bytes | None = None) -> None:
    """Write down that `kind` (such as `charge.succeeded`) happened to the object whose JSON is `body`.

    `previous` is the JSON of what an update changed, with the values from before.
    """
    store.write(
        f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new_id("evt_"), at, kind, *origin, body, previous),
    )


def changed(before: bytes, after: bytes) -> bytes:
    """The attributes that an update changed, with their values from before; null for what was not there."""
    old, new = msgspec.json.decode(before), msgspec.json.decode(after)
    return encode({name: old.get(name) for name in old | new if old.get(name) != new.get(name)})


def render(row: tuple[str, int, str, str | None, str | None, bytes, bytes | None]) -> bytes:
    """The event's JSON from its COLUMNS."""
    event_id, created, kind, request_id, key, body, previous = row
    data = {"object": msgspec.Raw(body)}
    if previous is not None:
        data["previous_attributes"] = msgspec.Raw(previous)
    event = Event(
        id=event_id,
        api_version=API_VERSION,
        created=created,
        data=data,
        request={"id": request_id, "idempotency_key": key},
        type=kind,
    )
    return encode(event)
