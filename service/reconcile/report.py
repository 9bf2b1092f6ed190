"""A report as a table, JSON or CSV, yielded line by line. The same run gives the same bytes.

Amounts are integers in minor units in JSON and CSV; the table shows them as people write them.
"""

import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from service.foundation.money import CURRENCIES
from service.reconcile.balance import Proof
from service.reconcile.classes import IN_FLIGHT, NOT_KEPT, SHORT
from service.reconcile.compare import SIDES, Sums
from service.reconcile.head import ClassSum, Head
from service.reconcile.kept import KeptReport
from service.reconcile.results import Discrepancy, Report
from service.reconcile.window import iso

SCHEMA_VERSION = 1
PROOF = "balance"  # a line of the CSV that is no discrepancy
CSV_HEADER = (
    "class",
    "order_id",
    "payment_intent",
    "amount",
    "currency",
    "age_s",
    "first_seen",
    "ours",
    "stripe",
    "next_step",
    "fingerprint",
    "acknowledged",
    "refund",
    "payout",
    "dispute",
    "movement",
)


async def as_json(report: Report | KeptReport) -> AsyncIterator[str]:
    """One document, in pieces; the schema is in docs/reference/discrepancies.md."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "verdict": report.verdict,
        "window": _window(report),
        "totals": {c: {side: _sums(s[side]) for side in SIDES} for c, s in report.comparison.totals.items()},
        "money_at_stake": report.money_at_stake,
        "owed": report.owed,
        "coverage": report.comparison.coverage,
        "balance": {proof.currency: _proof(proof) for proof in report.proofs},
        **_left_out(report),
    }
    yield json.dumps(head)[:-1] + ', "discrepancies": ['
    between = "\n"
    async for found in report.discrepancies():
        yield between + json.dumps(as_dict(found))
        between = ",\n"
    yield "]}\n"


async def as_csv(report: Report | KeptReport) -> AsyncIterator[str]:
    """A header, a line per discrepancy, and the proof of each currency; both sides as JSON in one cell each."""
    yield _csv_line(CSV_HEADER)
    async for found in report.discrepancies():
        values = as_dict(found)
        yield _csv_line([_cell(values[name]) for name in CSV_HEADER])
    for proof in report.proofs:
        shown = {"ours": {"balance": proof.ledger}, "stripe": _proof(proof)}
        cells = {"class": PROOF, "amount": abs(proof.drift), "currency": proof.currency, **shown}
        yield _csv_line([_cell(cells.get(name)) for name in CSV_HEADER])
    for name, lines in _left_out(report).items():
        yield _csv_line([{"class": name, "amount": lines}.get(column) for column in CSV_HEADER])


async def as_table(report: Report | KeptReport) -> AsyncIterator[str]:
    """For people: window, totals side by side, verdict, then the discrepancies by class."""
    w = report.window
    yield f"window    {iso(w.since)} to {iso(w.until)}, by Stripe's created; in flight: after {iso(w.cut_off)}\n\n"
    yield "".join(_totals_lines(report))
    yield "".join(map(_proof_line, report.proofs))
    yield f"verdict   {_verdict(report)}\n"
    yield f"coverage  {_coverage(report)}\n"
    current = None
    async for found in report.discrepancies():
        if found.name != current:
            current = found.name
            yield "\n" + "".join(_class_line(line) for line in report.classes if line.name == current)
        yield _found_lines(found)


FORMATS = {"table": as_table, "json": as_json, "csv": as_csv}


def as_dict(found: Discrepancy) -> dict[str, Any]:
    """A discrepancy as JSON has it."""
    return {
        "class": found.name,
        "order_id": str(found.order_id) if found.order_id else None,
        "payment_intent": found.payment_intent,
        "refund": found.refund,
        "payout": found.payout,
        "dispute": found.dispute,
        "movement": found.movement,
        "ours": found.ours,
        "stripe": found.stripe,
        "amount": found.amount,
        "currency": found.currency,
        "age_s": found.age_s,
        "first_seen": iso(found.first_seen),
        "fingerprint": found.fingerprint,
        "acknowledged": _acknowledged(found),
        "next_step": found.next_step,
    }


def _left_out(report: Report | KeptReport) -> dict[str, int]:
    """How many lines are not in it, where a long report of the past is read again; nothing where all are."""
    return {"left_out": report.left_out} if isinstance(report, KeptReport) and report.left_out else {}


def _acknowledged(found: Discrepancy) -> dict[str, str] | None:
    ack = found.acknowledged
    return None if ack is None else {"at": iso(ack.at), "by": ack.by, "reason": ack.reason}


def _window(report: Head) -> dict[str, str]:
    window = report.window
    return {"since": iso(window.since), "until": iso(window.until), "cut_off": iso(window.cut_off)}


def _sums(sums: Sums) -> dict[str, int]:
    return {
        "count": sums.count,
        "gross": sums.gross,
        "refunds": sums.refunds,
        "refunded": sums.refunded,
        "fees": sums.fees,
        "net": sums.net,
    }


def _proof(proof: Proof) -> dict[str, int | None]:
    return {
        "opening": proof.opening,
        "activity": proof.activity,
        "payouts": proof.payouts,
        "closing": proof.closing,
        "ledger": proof.ledger,
        "drift": proof.drift,
        "differ": proof.differ,
    }


def _proof_line(proof: Proof) -> str:
    """The balance of one currency: how it came about at Stripe, and what the books say."""

    def shown(amount: int | None) -> str:
        return "?" if amount is None else show(amount, proof.currency)

    differ = f"; {proof.differ} movements differ" if proof.differ else ""
    return (
        f"balance   {proof.currency}: opening {shown(proof.opening)} + activity {shown(proof.activity)} - payouts "
        f"{shown(proof.payouts)} = closing {shown(proof.closing)} at Stripe; {shown(proof.ledger)} by the books, "
        f"in flight left out{differ}\n"
    )


def _csv_line(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _totals_lines(report: Head) -> list[str]:
    """One block per currency with one line per side, so that numbers to compare are below each other."""
    lines = [f"{'':10}{'':8}{'count':>10}{'gross':>18}{'refunds':>9}{'refunded':>18}{'fees':>16}{'net':>18}\n"]
    for currency, sides in report.comparison.totals.items():
        for side in SIDES:
            s = sides[side]
            gross, refunded, fees, net = (show(n, currency) for n in (s.gross, s.refunded, s.fees, s.net))
            lines.append(
                f"{currency:10}{side:8}{s.count:>10}{gross:>18}{s.refunds:>9}{refunded:>18}{fees:>16}{net:>18}\n"
            )
        lines.append("\n")
    return lines if report.comparison.totals else ["nothing was charged or refunded in this window\n\n"]


def _verdict(report: Head) -> str:
    real = [line for line in report.classes if line.is_open]
    waiting = sum(line.count for line in report.classes if line.name == IN_FLIGHT)
    accepted = sum(line.count for line in report.classes if not line.is_open and line.name not in NOT_KEPT)
    stake, owed = _money(report.money_at_stake), _money(report.owed)
    if report.incomplete is not None:
        words = f"incomplete: {report.incomplete}; what is listed below is true, what is not listed is unknown"
    elif real:
        count = sum(line.count for line in real)
        words = f"{count} {'discrepancy' if count == 1 else 'discrepancies'}, {stake or 'no money'} at stake"
    else:
        words = "clean"
    words += f"; {accepted} acknowledged" if accepted else ""
    words += f"; {waiting} in flight" if waiting else ""
    return f"{words}; {owed} owed to customers" if owed else words


def _money(sums: dict[str, int]) -> str:
    return ", ".join(f"{show(amount, currency)} {currency}" for currency, amount in sums.items())


def _coverage(report: Head) -> str:
    c = report.comparison.coverage
    return (
        f"{c['matched']} pairs of {c['payment_intents']} PaymentIntents and {c['charges']} charges; "
        f"{c['refunds_matched']} of {c['refunds']} refunds; "
        f"{c['edges']} more from beyond the window's edges"
    )


def _class_line(line: ClassSum) -> str:
    amount = f", {show(line.amount, line.currency)} {line.currency}" if line.amount and line.currency else ""
    kind = "" if line.is_open or line.name in NOT_KEPT else " acknowledged"
    return f"{line.name}: {line.count}{kind}{amount}, oldest {_age(line.oldest_s)}\n"


def _found_lines(found: Discrepancy) -> str:
    known = found.currency is not None and found.amount is not None
    amount = f"{show(found.amount or 0, found.currency or '')} {found.currency}" if known else "-"
    names = f"order {found.order_id or '-'}  {found.payment_intent or '-'}"
    names += "".join(f"  {one}" for one in (found.refund, found.payout, found.dispute, found.movement) if one)
    return (
        f"  {names}  {amount}  {_age(found.age_s)}\n"
        f"    ours    {_side(found.ours)}\n"
        f"    stripe  {_side(found.stripe)}\n"
        f"    {_next(found)}\n"
    )


def _next(found: Discrepancy) -> str:
    ack = found.acknowledged
    if ack is not None:
        return f"acknowledged {iso(ack.at)} by {ack.by}: {ack.reason}"
    name = "" if found.name in NOT_KEPT else f"  ({found.fingerprint[:SHORT]})"
    return f"next    {found.next_step}{name}"


def _side(side: dict[str, Any] | None) -> str:
    return "nothing" if side is None else " ".join(f"{name}={value}" for name, value in side.items())


def _age(seconds: int) -> str:
    """An age in its two largest units, for instance `3d 4h`."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"


def show(amount: int, currency: str) -> str:
    """Minor units as people write them: 1999 usd is 19.99, 1999 jpy is 1999. A currency we do not know stays minor."""
    exponent = CURRENCIES[currency].exponent if currency in CURRENCIES else 0
    return f"{Decimal(amount).scaleb(-exponent):.{exponent}f}"
