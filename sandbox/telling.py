"""What events and their deliveries are stored as.

A delivery is one event on its way to one destination. It waits until it is `due` on the sandbox's clock, and ends
`delivered` or, after the last try, `failed`.
"""

from typing import Literal, NamedTuple

Payload = Literal["snapshot", "thin"]
# How the first try of a delivery is signed wrongly.
Missigned = Literal["wrong_secret", "old", "future", "changed_body"]

SCHEMA = """
-- Where events are sent: webhook endpoints (we_…) and event destinations (ed_test_…). `types` is a JSON array; `body`
-- is what the API shows. After a roll the secret before signs too, until `before_until`.
CREATE TABLE IF NOT EXISTS destinations (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, url TEXT NOT NULL, payload TEXT NOT NULL,
  types TEXT NOT NULL, enabled INTEGER NOT NULL, secret TEXT NOT NULL, secret_before TEXT, before_until REAL,
  body BLOB NOT NULL);
CREATE VIEW IF NOT EXISTS webhook_endpoints AS SELECT * FROM destinations WHERE substr(id, 1, 3) = 'we_';
-- `event` is the id that is sent: a thin event has one of its own. `answer` is what the last try got, `missigned` how
-- the first one is signed wrongly.
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY, event TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, due REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0, answer TEXT, missigned TEXT);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (destination, due) WHERE state = 'waiting';
"""


class Recorded(NamedTuple):
    """One row of `events`, as it is written."""

    id: str
    created: int
    type: str
    request_id: str | None
    idempotency_key: str | None
    body: bytes
    previous: bytes | None
