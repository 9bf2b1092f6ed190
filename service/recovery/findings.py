"""What a listing brought back, in numbers: for the life's row, the log and `eo recover`."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.foundation import log
from service.foundation.events import Event
from service.recovery.adoption import Step, Verdict
from service.recovery.knowing import Listed
from service.recovery.lives import Life
from service.recovery.refund_adoption import ListedRefund

_LOSSES = (Step.ADOPT, Step.BLOCK, Step.REPORT)


@dataclass(slots=True)
class RefundsFound:
    """Refunds that a listing brought back: forgotten ones, those made at Stripe past us, and those it could settle.

    sums: minor units by currency, of the adopted ones.
    """

    adopted: int = 0
    past_us: int = 0
    settled: int = 0
    sums: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"adopted": self.adopted, "past_us": self.past_us, "settled": self.settled, "sums": dict(self.sums)}


@dataclass(slots=True)
class Findings:
    """What a listing brought back.

    sums: minor units by currency, of the payments that were adopted and of what could only be reported. since, until:
    Stripe's moments of what was lost. intents: Stripe's ids of the payments that were adopted.
    """

    adopted: int = 0
    settled: int = 0
    reported: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, Counter[str]] = field(default_factory=lambda: {"adopted": Counter(), "reported": Counter()})
    since: datetime | None = None
    until: datetime | None = None
    listed: int = 0
    refunds: RefundsFound = field(default_factory=RefundsFound)
    intents: set[str] = field(default_factory=set)

    def add(self, listed: Listed, verdict: Verdict) -> None:
        """Count one PaymentIntent."""
        intent = listed.intent
        currency, status = _spelled(intent.currency), _spelled(intent.status)
        if verdict.step is Step.SETTLE:
            self.settled += 1
        if verdict.step is Step.ADOPT:
            self.adopted += 1
            self.intents.add(intent.id)
            self.sums["adopted"][currency] += intent.amount
        if verdict.step in (Step.BLOCK, Step.REPORT):
            about = {"payment_intent": intent.id, "order_id": str(listed.marks.order_id), "status": status}
            self.sums["reported"][currency] += intent.amount
            self.reported.append({**about, "amount": intent.amount, "currency": currency, "why": verdict.reason})
        if verdict.step in _LOSSES:
            self._lost(listed.created)

    def add_refund(self, listed: ListedRefund, verdict: Verdict) -> None:
        """Count one refund. One that was made past us was never known here, and is no loss."""
        shown, marks, found = listed.shown, listed.marks, self.refunds
        currency = _spelled(shown.currency)
        if verdict.step is Step.SETTLE:
            found.settled += 1
        if verdict.step is Step.ADOPT:
            found.adopted += marks is not None
            found.past_us += marks is None
            found.sums[currency] += shown.amount
        if verdict.reason:
            order_id = None if marks is None else str(marks.order_id)
            about = {"refund": shown.id, "payment_intent": shown.payment_intent, "order_id": order_id}
            status = _spelled(shown.status or "")
            self.reported.append({**about, "status": status, "amount": shown.amount, "currency": currency})
            self.reported[-1]["why"] = verdict.reason
        if verdict.reason or (verdict.step is Step.ADOPT and marks is not None):
            self._lost(listed.created)

    def _lost(self, moment: datetime) -> None:
        self.since = min(self.since or moment, moment)
        self.until = max(self.until or moment, moment)

    def as_dict(self) -> dict[str, Any]:
        """For `eo recover --json` and for the life's row."""
        return {
            "adopted": self.adopted,
            "settled": self.settled,
            "refunds": self.refunds.as_dict(),
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
    known = {_id(one) for one in before["reported"]}
    new = [one for one in now["reported"] if _id(one) not in known]
    return {
        "adopted": before["adopted"] + now["adopted"],
        "settled": before["settled"] + now["settled"],
        "refunds": _joined_refunds(before.get("refunds"), findings.refunds),
        "reported": before["reported"] + new,
        "sums": {kind: _sum(before["sums"][kind], sums) for kind, sums in _new_sums(findings, new).items()},
        "since": before["since"] or now["since"],
        "until": now["until"] or before["until"],
        "said": before["said"],
    }


def _id(reported: dict[str, Any]) -> str:
    """Stripe's id of what was reported: of the refund, or else of the payment."""
    return str(reported.get("refund") or reported["payment_intent"])


def _joined_refunds(before: dict[str, Any] | None, now: RefundsFound) -> dict[str, Any]:
    """A version that counted no refunds may have listed before."""
    if before is None:
        return now.as_dict()
    counts = {name: before[name] + getattr(now, name) for name in ("adopted", "past_us", "settled")}
    return {**counts, "sums": _sum(before["sums"], now.sums)}


def _new_sums(findings: Findings, new: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """What is reported again by each listing counts once. A refund's sum is counted where it was adopted."""
    reported: Counter[str] = Counter()
    for one in new:
        if "refund" not in one:
            reported[one["currency"]] += one["amount"]
    return {"adopted": findings.sums["adopted"], "reported": reported}


def _sum(before: dict[str, int], now: Counter[str]) -> dict[str, int]:
    return dict(Counter(before) + now)


def said(life: Life, findings: Findings) -> dict[str, Any]:
    """What the life's listings have brought back, told to the log: before it is stored, so that no death keeps it."""
    log.event(Event.RECOVERY_VERIFIED, life=life.id, listed=findings.listed, settled=findings.settled)
    found = joined(life.found, findings)
    refunds = found["refunds"]
    losses = found["adopted"] + refunds["adopted"] + len(found["reported"])
    if losses > found["said"]:
        log.event(
            Event.RECOVERY_LOSS_FOUND,
            adopted=found["adopted"],
            reported=len(found["reported"]),
            minor_units=_spelled_sums(found["sums"]["adopted"]),
            refunds=refunds["adopted"],
            refunded_minor_units=_spelled_sums(refunds["sums"]),
            since=found["since"],
            until=found["until"],
        )
    return {**found, "said": losses}


def _spelled_sums(sums: dict[str, int]) -> list[str]:
    return [f"{amount} {currency}" for currency, amount in sorted(sums.items())]
