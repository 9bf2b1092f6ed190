"""What a listing brought back, in numbers: for the life's row, the log and `eo recover`."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.foundation.events import Event
from service.foundation.log import event
from service.recovery.adoption import Step, Verdict
from service.recovery.knowing import Listed
from service.recovery.lives import Life

_LOSSES = (Step.ADOPT, Step.BLOCK, Step.REPORT)


@dataclass(slots=True)
class Findings:
    """What a listing brought back.

    sums: minor units by currency, of what was adopted and of what could only be reported. since, until: Stripe's
    moments of what was lost.
    """

    adopted: int = 0
    settled: int = 0
    reported: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, Counter[str]] = field(default_factory=lambda: {"adopted": Counter(), "reported": Counter()})
    since: datetime | None = None
    until: datetime | None = None
    listed: int = 0

    def add(self, listed: Listed, verdict: Verdict) -> None:
        """Count one PaymentIntent."""
        intent = listed.intent
        currency, status = _spelled(intent.currency), _spelled(intent.status)
        if verdict.step is Step.SETTLE:
            self.settled += 1
        if verdict.step is Step.ADOPT:
            self.adopted += 1
            self.sums["adopted"][currency] += intent.amount
        if verdict.step in (Step.BLOCK, Step.REPORT):
            about = {"payment_intent": intent.id, "order_id": str(listed.marks.order_id), "status": status}
            self.sums["reported"][currency] += intent.amount
            self.reported.append({**about, "amount": intent.amount, "currency": currency, "why": verdict.reason})
        if verdict.step in _LOSSES:
            self.since = min(self.since or listed.created, listed.created)
            self.until = max(self.until or listed.created, listed.created)

    def as_dict(self) -> dict[str, Any]:
        """For `eo recover --json` and for the life's row."""
        return {
            "adopted": self.adopted,
            "settled": self.settled,
            "reported": self.reported,
            "sums": {kind: dict(sums) for kind, sums in self.sums.items()},
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
        }


def _spelled(word: str) -> str:
    """A word of Stripe's as it may be stored and shown; U+0000 could not be."""
    return word if word.isprintable() else ascii(word)


def joined(before: dict[str, Any] | None, findings: Findings) -> dict[str, Any]:
    """What all listings of a life have brought back. said: how many losses the log has told."""
    now = findings.as_dict()
    if before is None:
        return {**now, "said": 0}
    known = {one["payment_intent"] for one in before["reported"]}
    new = [one for one in now["reported"] if one["payment_intent"] not in known]
    return {
        "adopted": before["adopted"] + now["adopted"],
        "settled": before["settled"] + now["settled"],
        "reported": before["reported"] + new,
        "sums": {kind: _sum(before["sums"][kind], sums) for kind, sums in _new_sums(findings, new).items()},
        "since": before["since"] or now["since"],
        "until": now["until"] or before["until"],
        "said": before["said"],
    }


def _new_sums(findings: Findings, new: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """What is reported again by each listing counts once."""
    reported: Counter[str] = Counter()
    for one in new:
        reported[one["currency"]] += one["amount"]
    return {"adopted": findings.sums["adopted"], "reported": reported}


def _sum(before: dict[str, int], now: Counter[str]) -> dict[str, int]:
    return dict(Counter(before) + now)


def said(life: Life, findings: Findings) -> dict[str, Any]:
    """What the life's listings have brought back, told to the log: before it is stored, so that no death keeps it."""
    event(Event.RECOVERY_VERIFIED, life=life.id, listed=findings.listed, settled=findings.settled)
    found = joined(life.found, findings)
    losses = found["adopted"] + len(found["reported"])
    if losses > found["said"]:
        event(
            Event.RECOVERY_LOSS_FOUND,
            adopted=found["adopted"],
            reported=len(found["reported"]),
            minor_units=[f"{amount} {currency}" for currency, amount in sorted(found["sums"]["adopted"].items())],
            since=found["since"],
            until=found["until"],
        )
    return {**found, "said": losses}
