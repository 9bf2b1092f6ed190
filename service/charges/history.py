"""What a charge's history keeps: one small entry per call, and one per answer that brought news. Pure."""

from typing import Any

from service.charges.model import Settlement


def news(settlement: Settlement) -> dict[str, Any] | None:
    """The entry for the history; None where a known payment was asked for and nothing about it is new."""
    entry, charge = _history(settlement), settlement.charge
    if charge.call != "retrieve" or settlement.outcome.status != charge.status:
        return entry
    last = charge.history[-1] if charge.history else {}
    said = {name: value for name, value in last.items() if name not in ("at", "request_id")}
    says = {name: value for name, value in entry.items() if name != "request_id"}
    return None if says == said else entry


def _history(settlement: Settlement) -> dict[str, Any]:
    """One small entry: what came back. Fields by name, never the body (R30)."""
    entry: dict[str, Any] = dict(settlement.outcome.entry)
    if settlement.charge.call == "retrieve":
        entry["call"] = settlement.charge.call
    answer = settlement.answer
    if answer is not None:
        entry |= {"answer": answer.word, "request_id": answer.request_id}
        if answer.replayed:
            entry["replayed"] = True
    return entry
