"""What an effect's history keeps: one small entry per call, and one per answer that brought news. Pure."""

from typing import Any

from service.effects.model import Effect, Settlement

_OF_THE_CALL = ("at", "request_id", "ms")  # no news by themselves


def news(settlement: Settlement[Effect]) -> dict[str, Any] | None:
    """The entry for the history; None where a known object was asked for and nothing about it is new."""
    entry, effect = _history(settlement), settlement.effect
    if effect.call != "retrieve" or settlement.outcome.status != effect.status:
        return entry
    last = effect.history[-1] if effect.history else {}
    said = {name: value for name, value in last.items() if name not in _OF_THE_CALL}
    says = {name: value for name, value in entry.items() if name not in _OF_THE_CALL}
    return None if says == said else entry


def _history(settlement: Settlement[Effect]) -> dict[str, Any]:
    """One small entry: what came back. Fields by name, never the body (R30)."""
    entry: dict[str, Any] = dict(settlement.outcome.entry)
    if settlement.effect.call == "retrieve":
        entry["call"] = settlement.effect.call
    answer = settlement.answer
    if answer is not None:
        entry |= {"answer": answer.word, "request_id": answer.request_id}
        if answer.replayed:
            entry["replayed"] = True
    if settlement.ms is not None:
        entry["ms"] = round(settlement.ms)
    return entry
