"""The front page's first line: whether the money agrees, in plain words with the numbers of the books. Pure.

It is green only where the newest reconciliation has read Stripe to its end, found nothing open and proven the balance,
and nothing that is known since then speaks against it. Otherwise it says what is open, and where that is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from service.console.money_now import COUNTED_MAX, NEWER_MAX, Money
from service.console.tones import Tone
from service.foundation.money import spelled
from service.reconcile.head import Head

_RECONCILIATION = "/console/reconciliation"
PROVEN_FOR = timedelta(hours=26)  # a proof of every night, and two hours for the run itself


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence, and the page that shows more of it."""

    says: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The headline, what is open, and what is known besides."""

    tone: Tone
    headline: str
    open: tuple[Line, ...]
    known: tuple[Line, ...]


def judge(money: Money) -> Verdict:
    """The verdict on what is known."""
    wrong, waits = tuple(_wrong(money)), tuple(_waits(money))
    tone: Tone = "bad" if wrong else "look" if waits else "good"
    return Verdict(tone, _headline(money), wrong + waits, tuple(_known(money)))


_SIDES = ("ours", "stripe", "ledger")


def _headline(money: Money) -> str:
    if money.proof is None:
        newer = money.newer
        return (
            f"{_equal(newer.paid, newer.charged, newer.booked, 'charged')} by our own books; Stripe was not asked yet."
        )
    paid, charged, booked = _counts(money.proof)
    balance = _balance(money.proof)
    return f"{_equal(paid, charged, booked, 'charged at Stripe')}{f'; {balance}' if balance else ''}."


def _counts(proof: Head) -> list[int]:
    return [sum(sides[side].count for sides in proof.comparison.totals.values()) for side in _SIDES]


def _equal(paid: int, charged: int, booked: int, where: str) -> str:
    signs = ["=" if one == other else "≠" for one, other in ((paid, charged), (charged, booked))]
    return f"{paid:,} paid {signs[0]} {charged:,} {where} {signs[1]} {booked:,} in the ledger"


def _balance(proof: Head) -> str:
    compared = [one for one in proof.proofs if one.closing is not None]
    if not compared:
        return ""
    drifts = [f"{spelled(one.drift, one.currency)} apart" for one in compared if one.drift]
    return f"Stripe's balance and ours are {', '.join(drifts)}" if drifts else "Stripe's balance agrees to the cent"


def _wrong(money: Money) -> Iterator[Line]:
    """What contradicts itself."""
    if found := money.open.discrepancies:
        yield Line(f"{_are(found, 'discrepancy', 'discrepancies')} open.", _RECONCILIATION)
    if (proof := money.proof) is not None and any(one.drift or one.differ for one in proof.proofs):
        yield Line("Stripe's balance and the ledger differ.", _RECONCILIATION)
    if proof is not None and len(set(_counts(proof))) > 1:
        yield Line("In the last reconciliation the three counts differ.", _RECONCILIATION)
    for currency, difference in money.unbalanced.items():
        yield Line(f"The ledger is out of balance by {spelled(difference, currency)}.", "/console/ledger")
    newer = money.newer
    if not newer.paid == newer.charged == newer.booked:
        counts = f"{newer.paid:,} are paid, {newer.charged:,} have a charge, {newer.booked:,} are in the ledger"
        yield Line(f"Of the newest orders {counts}.", "/console/orders")


def _waits(money: Money) -> Iterator[Line]:
    """What nobody can call proven, or what waits for a person."""
    yield from _unproven(money)
    if parked := money.open.parked:
        yield Line(f"{_are(parked, 'promise', 'promises')} parked: a person has to move them on.", "/console/parked")
    if suspense := money.open.suspense:
        are = _are(suspense, "movement of Stripe's balance", "movements of Stripe's balance")
        yield Line(f"{are} in suspense.", "/console/ledger")
    if notices := money.open.notices:
        yield Line(f"{_are(notices, 'notice to a producer', 'notices to producers')} given up.", "/console/system")


def _unproven(money: Money) -> Iterator[Line]:
    proof = money.proof
    if proof is None:
        yield Line("`eo reconcile` compares our books with Stripe's; it was not run yet.", _RECONCILIATION)
        return
    if proof.incomplete is not None:
        yield Line(f"The last reconciliation could not read everything: {proof.incomplete}.", _RECONCILIATION)
    elif any(_counts(proof)) and not _balance(proof):
        yield Line("The last reconciliation did not compare Stripe's balance.", _RECONCILIATION)
    if money.now - proof.window.now > PROVEN_FOR:
        yield Line("The last proof is more than a day old; `eo reconcile` makes a new one.", _RECONCILIATION)


def _known(money: Money) -> Iterator[Line]:
    """What is known besides."""
    newer = money.newer
    placed = f"at least {NEWER_MAX:,}" if newer.placed >= NEWER_MAX else f"{newer.placed:,}"
    if money.proof is None:
        yield Line(f"{placed} orders were placed within the last day.")
    elif newer.placed:
        yield Line(f"Since then {placed} were placed: {newer.paid:,} of them are paid, {newer.booked:,} in the ledger.")
    if accepted := money.open.acknowledged:
        yield Line(f"{_are(accepted, 'discrepancy', 'discrepancies')} accepted as they stand.", _RECONCILIATION)


def _are(number: int, one: str, many: str) -> str:
    if number > COUNTED_MAX:
        return f"More than {COUNTED_MAX:,} {many} are"
    return f"1 {one} is" if number == 1 else f"{number:,} {many} are"
