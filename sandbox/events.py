"""Events: what happened, with the object as it was then, and the request that caused it."""

import msgspec

from sandbox.ids import new_id
from sandbox.objects import Event, encode
from sandbox.state import API_VERSION, Origin
from sandbox.store import Store
from sandbox.telling import Recorded

# What a listing needs to put an event together again; only the object's own JSON is stored.
COLUMNS = ", ".join(Recorded._fields)
# Destinations that have not taken the event yet, or never will.
PENDING = "(SELECT COUNT(DISTINCT destination) FROM deliveries WHERE event = events.id AND state <> 'delivered')"
# Stripe gives events back for 30 days.
KEPT_S = 30 * 86_400


def record(store: Store, kind: str, body: bytes, origin: Origin, at: int, previous: bytes | None = None) -> None:
    """Write down that `kind` (such as `charge.succeeded`) happened to the object whose JSON is `body`.

    `previous` is the JSON of what an update changed, with the values from before.
    """
    event = Recorded(new_id("evt_"), at, kind, *origin, body, previous)
    write(store, event)
    store.announce(event)


def write(store: Store, event: Recorded) -> None:
    """Write one event down, without sending it anywhere."""
    store.write(f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", event)


def changed(before: bytes, after: bytes) -> bytes:
    """The attributes that an update changed, with their values from before; null for what was not there."""
    old, new = msgspec.json.decode(before), msgspec.json.decode(after)
    return encode({name: old.get(name) for name in old | new if old.get(name) != new.get(name)})


def render(event: Recorded, pending: int) -> bytes:
    """The event's JSON; `pending` destinations have not taken it."""
    data = {"object": msgspec.Raw(event.body)}
    if event.previous is not None:
        data["previous_attributes"] = msgspec.Raw(event.previous)
    return encode(
        Event(
            id=event.id,
            api_version=API_VERSION,
            created=event.created,
            data=data,
            pending_webhooks=pending,
            request={"id": event.request_id, "idempotency_key": event.idempotency_key},
            type=event.type,
        )
    )
