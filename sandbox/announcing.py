"""Who is told of an event: one delivery for each destination that wants it, unless a fault has it otherwise.

It happens in the transaction that writes the event, so an event and its deliveries are there together or not at all.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from sandbox import destinations, events, intents, thin
from sandbox.destinations import Destination
from sandbox.faults import Plans, Rule
from sandbox.ids import new_id
from sandbox.state import Sandbox
from sandbox.telling import Recorded


class Announcer:
    """Hears of each event as it is written."""

    def __init__(self, sandbox: Sandbox, plans: Plans, wake: Callable[[], None]) -> None:
        self._sandbox = sandbox
        self._plans = plans
        self._wake = wake
        self._ahead: dict[str, list[str]] = {}
        sandbox.store.announce = self

    def __call__(self, event: Recorded) -> None:
        """Plan the deliveries of a new event."""
        store, plans = self._sandbox.store, self._plans
        strikes = plans.strikes_events()
        if not store.has_destinations and not strikes:
            return
        told = destinations.every(store)
        struck = plans.pick_for_event(event.type, self._order(event)) if strikes else None
        rule, share = struck or (None, 0.0)
        if rule is not None and rule.fault == "event_drop" and not rule.listed:
            store.write("DELETE FROM events WHERE id = ?", (event.id,))
            return
        self._plan_deliveries(event, told, rule, share)
        if rule is not None and rule.fault == "event_double":
            twin = event._replace(id=new_id("evt_"))
            events.write(store, twin)
            self._plan_deliveries(twin, told, None, share)

    def ahead_of(self, request_id: str) -> list[str]:
        """The events that must arrive before this request's answer, told once."""
        return self._ahead.pop(request_id, [])

    def _plan_deliveries(self, event: Recorded, told: list[Destination], rule: Rule | None, share: float) -> None:
        fault = None if rule is None else rule.fault
        pause = 0.0
        if rule is not None and fault in ("event_delay", "event_reorder"):
            pause = rule.delay_s * (share if fault == "event_reorder" else 1)
        state = "failed" if fault == "event_drop" else "waiting"
        missigned = rule.sign if rule is not None and fault == "event_missign" else None
        for destination in told:
            sent_id = _sent_as(destination, event)
            if sent_id is None:
                continue
            for _ in range(2 if fault == "event_duplicate" else 1):
                self._sandbox.store.write(
                    "INSERT INTO deliveries (event, destination, state, due, missigned) VALUES (?, ?, ?, ?, ?)",
                    (sent_id, destination.id, state, self._sandbox.clock.exact() + pause, missigned),
                )
            if fault == "event_before_answer" and event.request_id is not None:
                self._ahead.setdefault(event.request_id, []).append(sent_id)
            self._wake()

    def _order(self, event: Recorded) -> str | None:
        """The order whose payment the event's object is, or belongs to."""
        told: dict[str, Any] = msgspec.json.decode(event.body)
        named = (told.get("metadata") or {}).get("eo_order")
        if named is not None:
            return str(named)
        about = told.get("payment_intent") or told.get("charge") or told.get("id")
        return intents.order_of(self._sandbox, about) if isinstance(about, str) else None


def _sent_as(destination: Destination, event: Recorded) -> str | None:
    """The id under which the destination is sent the event; None where it does not want it."""
    thin_type = thin.thin_type(event.type)
    if not destination.enabled:
        return None
    if destination.payload == "snapshot":
        return event.id if destination.wants(event.type) else None
    return thin.thin_id(event.id) if thin_type is not None and destination.wants(thin_type) else None
