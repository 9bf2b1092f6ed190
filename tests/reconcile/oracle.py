"""A second implementation of the comparison: two sorted streams merged in plain Python, without SQL.

Written from docs/explanation/reconciliation.md, not from the statements, so that an error in one does not hide in the
other. It judges orders by what both sides say of them; it knows nothing of what a test planted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from service.ledger import JournalEntry, Money
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent, Refund
from tests.reconcile.refund_oracle import Found, explained, given_for_good, judge_refunds
from tests.reconcile.world import ChargeRow, OrderRow, Story

OPEN = {"sending", "unknown", "requires_action", "processing", "authorized"}
SAME_WORD = {
    "succeeded": {"succeeded"},
    "duplicate": {"succeeded"},
    "declined": {"requires_payment_method", "canceled"},
    "canceled": {"canceled"},
    "requires_action": {"requires_action"},
    "processing": {"processing"},
    "authorized": {"requires_capture"},
    "sending": {"requires_action", "processing", "requires_capture", "requires_confirmation"},
    "unknown": {"requires_action", "processing", "requires_capture", "requires_confirmation"},
}


@dataclass
class _Pair:
    charge: ChargeRow | None
    intent: Intent | None

    @property
    def took(self) -> bool:
        return self.intent is not None and self.intent.status == "succeeded"

    @property
    def settled(self) -> bool:
        return self.charge is not None and self.charge.status == "succeeded"


def compare_streams(
    stories: Iterable[Story], intents: Iterable[Intent], refunds: list[Refund], cut_off: datetime
) -> list[Found]:
    """Everything that differs, sorted. Both sides must lie inside the window; entries are those of the stories."""
    ours = sorted(stories, key=lambda story: str(story.order.id))
    theirs = sorted(intents, key=lambda i: (_order_of(i), i.created, i.id))
    found, back = list(judge_refunds(ours, refunds, cut_off)), explained(refunds)
    for story, seen in _merge(ours, theirs):
        if story is None:
            found += [
                Found(_young("missing_locally", _moved(i), cut_off), i.id, "")
                for i in seen
                if i.status == "succeeded" and not _is_undone(i)
            ]
        else:
            found += _judge_order(story, seen, refunds, cut_off)
        order = str(story.order.id) if story else ""
        found += [
            Found("money_returned", i.id, order) for i in seen if min(_returned(i), i.amount_received) > back[i.id]
        ]
    return sorted(found)


def _order_of(intent: Intent) -> str:
    return intent.metadata.get("eo_order", "")


def _merge(ours: list[Story], theirs: list[Intent]) -> Iterator[tuple[Story | None, list[Intent]]]:
    """Both streams in step, by order id: one order of ours or None, and all of Stripe's PaymentIntents that name it."""
    groups = ((key, list(group)) for key, group in groupby(theirs, key=_order_of))
    key, seen = next(groups, ("~", []))
    for story in ours:
        mine = str(story.order.id)
        while key < mine:
            yield None, seen
            key, seen = next(groups, ("~", []))
        if key == mine:
            yield story, seen
            key, seen = next(groups, ("~", []))
        else:
            yield story, []
    while key != "~":
        yield None, seen
        key, seen = next(groups, ("~", []))


def _judge_order(story: Story, seen: list[Intent], refunds: list[Refund], cut_off: datetime) -> list[Found]:
    pairs = _claim(story, seen)
    winner = _winner(pairs)
    order, found = str(story.order.id), list[Found]()
    for pair in pairs:
        name = _judge_second(pair, refunds) if _is_second(pair, winner) else None
        if name is None and not (_is_second(pair, winner) and not _is_known_duplicate(pair)):
            name = _judge_pair(story, pair, cut_off)
        if name is not None:
            found.append(Found(name, _id(pair), order))
    booked_twice = [
        e for e in story.entries if e.kind in ("charge", "duplicate") and e.reference not in _references(pairs)
    ]
    name = None if found else _judge_alone(story, cut_off)
    found += [Found(name, story.order.pi or "", order)] if name else []
    return found + [Found("ledger_imbalance", e.payment_intent_id or "", order) for e in booked_twice]


def _claim(story: Story, seen: list[Intent]) -> list[_Pair]:
    """Each PaymentIntent goes to one attempt: by id where we know it, else by the attempt it names, successes first."""
    left = {i.id: i for i in seen}
    pairs = [_Pair(charge, left.pop(charge.pi, None) if charge.pi else None) for charge in story.charges]
    for pair in pairs:
        assert pair.charge is not None
        if pair.charge.pi is None:
            mine = [i for i in left.values() if i.metadata["eo_attempt"] == str(pair.charge.attempt)]
            if mine:
                pair.intent = left.pop(min(mine, key=lambda i: (i.status != "succeeded", i.created, i.id)).id)
    return pairs + [_Pair(None, i) for i in left.values()]


def _winner(pairs: list[_Pair]) -> _Pair | None:
    """The one success an order may have: the one we settled, else the earliest that we know at all."""
    took = [p for p in pairs if p.took]
    return min(
        took,
        key=lambda p: (not p.settled, p.charge is None, p.intent and (p.intent.created, p.intent.id)),
        default=None,
    )


def _is_known_duplicate(pair: _Pair) -> bool:
    return pair.charge is not None and pair.charge.status == "duplicate"


def _is_second(pair: _Pair, winner: _Pair | None) -> bool:
    """Whether this success is not the one that its order may have."""
    return pair.took and (pair is not winner or _is_known_duplicate(pair))


def _judge_second(pair: _Pair, refunds: list[Refund]) -> str | None:
    """It is a discrepancy until all of it went back for good."""
    intent = pair.intent
    assert intent is not None
    given = given_for_good(intent.id, _returned(intent), refunds)
    return "duplicate_charge" if given < intent.amount_received else None


def _judge_pair(story: Story, pair: _Pair, cut_off: datetime) -> str | None:
    charge, intent = pair.charge, pair.intent
    if intent is None:
        assert charge is not None
        return _judge_without_stripe(story, charge, cut_off)
    if charge is None:
        return _young("missing_locally", _moved(intent), cut_off) if pair.took and not _is_undone(intent) else None
    if (pair.settled or _is_known_duplicate(pair)) and pair.took and _is_not_booked(story, charge, intent):
        txn = _txn(intent)
        shown = datetime.fromtimestamp(txn.created, UTC) if txn and txn.currency != charge.currency else _moved(intent)
        return _young("missing_locally", max(_moved(intent), charge.updated_at or charge.at, shown), cut_off)
    return _judge_values(story.order, charge, intent) or _judge_states(story, charge, intent, cut_off)


def _judge_without_stripe(story: Story, charge: ChargeRow, cut_off: datetime) -> str | None:
    if charge.pi is not None or charge.status in ("succeeded", "duplicate"):
        return "missing_at_stripe"
    return _stale(story, charge, cut_off) if charge.status in OPEN else None


def _judge_values(order: OrderRow, charge: ChargeRow, intent: Intent) -> str | None:
    if len({order.currency, charge.currency, intent.currency}) > 1:
        return "currency_mismatch"
    is_told = order.capture == "automatic" or charge.status in ("succeeded", "duplicate")
    if intent.status == "succeeded" and is_told and intent.amount_received != _taken(charge):
        return "amount_mismatch"
    return "amount_mismatch" if len({order.amount, charge.amount, intent.amount}) > 1 else None


def _taken(charge: ChargeRow) -> int:
    return charge.amount if charge.taken is None else charge.taken


def _judge_states(story: Story, charge: ChargeRow, intent: Intent, cut_off: datetime) -> str | None:
    took = intent.status == "succeeded"
    if charge.status == "authorized" and intent.status == "canceled":
        return _young("authorization_expired", _moved(intent), cut_off)
    if intent.status not in SAME_WORD[charge.status] or (took and story.order.status != "paid"):
        final = [charge.updated_at or charge.at] if charge.status not in OPEN else []
        final += (
            [story.order.updated_at or story.order.at] if story.order.status in ("paid", "failed", "canceled") else []
        )
        return _young("status_mismatch", max(_moved(intent), *final, _moved(intent)), cut_off)
    if charge.status == "authorized" and not story.parked:
        return _young("authorization_expired", _moved(intent) + timedelta(days=7), cut_off)
    if charge.status in OPEN:
        return _stale(story, charge, cut_off)
    return _judge_books(story, charge, intent, cut_off) if took else None


def _judge_books(story: Story, charge: ChargeRow, intent: Intent, cut_off: datetime) -> str | None:
    txn, gross = _txn(intent), _gross(story, charge)
    assert gross is not None
    is_exchanged = txn is not None and txn.currency != charge.currency
    if max(p.amount_minor for p in gross.postings) != (txn.amount if txn and is_exchanged else _taken(charge)):
        return "ledger_imbalance"
    if is_exchanged and gross.customer != Money(_taken(charge), charge.currency):
        return "ledger_imbalance"
    if txn is None:
        return None if charge.txn else _young("fee_missing", _moved(intent), cut_off)
    booked = next((e for e in story.entries if e.reference == f"fee:{txn.id}"), None)
    if booked is None:
        late = max(_moved(intent), datetime.fromtimestamp(txn.created, UTC))
        return _young("fee_missing", late, cut_off) if txn.fee else None
    return None if max(p.amount_minor for p in booked.postings) == txn.fee else "fee_mismatch"


def _gross(story: Story, charge: ChargeRow) -> JournalEntry | None:
    """What is booked of the charge: what was booked anew stands for what was booked before."""
    booked = {e.reference: e for e in story.entries}
    return booked.get(f"settled:{_booking(charge)}", booked.get(_booking(charge)))


def _is_not_booked(story: Story, charge: ChargeRow, intent: Intent) -> bool:
    gross, txn = _gross(story, charge), _txn(intent)
    in_its_own = gross is not None and {p.currency for p in gross.postings} == {charge.currency}
    return gross is None or (in_its_own and txn is not None and txn.currency != charge.currency)


def _judge_alone(story: Story, cut_off: datetime) -> str | None:
    """What the order says by itself, where none of its attempts explains it."""
    order, states = story.order, {c.status for c in story.charges}
    if story.parked:
        return "stale_pending"
    if order.status == "paid" and "succeeded" not in states:
        return "status_mismatch" if states else "missing_at_stripe"
    if order.status in ("pending", "processing", "requires_action", "authorized") and not states & OPEN:
        return _young("stale_pending", max([order.at, *(c.at for c in story.charges)]), cut_off)
    return None


def _stale(story: Story, charge: ChargeRow, cut_off: datetime) -> str:
    patience = {
        "requires_action": timedelta(hours=24),
        "processing": timedelta(days=14),
        "authorized": timedelta(days=7),
    }
    return (
        "stale_pending"
        if story.parked
        else _young("stale_pending", charge.at + patience.get(charge.status, timedelta()), cut_off)
    )


def _young(name: str, at: datetime, cut_off: datetime) -> str:
    return "in_flight" if at > cut_off else name


def _moved(intent: Intent) -> datetime:
    charge = intent.latest_charge
    return datetime.fromtimestamp(charge.created if isinstance(charge, Charge) else intent.created, UTC)


def _returned(intent: Intent) -> int:
    """What went back, or is held back for a dispute."""
    charge = intent.latest_charge
    if not isinstance(charge, Charge):
        return 0
    whole = charge.amount_captured or charge.amount
    return whole if charge.disputed or charge.refunded else charge.amount_refunded


def _is_undone(intent: Intent) -> bool:
    """Whether refunds gave all of it back."""
    charge = intent.latest_charge
    if not isinstance(charge, Charge):
        return intent.amount_received == 0
    return charge.refunded or charge.amount_refunded >= intent.amount_received


def _txn(intent: Intent) -> BalanceTransaction | None:
    charge = intent.latest_charge
    txn = charge.balance_transaction if isinstance(charge, Charge) else None
    return txn if isinstance(txn, BalanceTransaction) else None


def _booking(charge: ChargeRow) -> str:
    return f"{'duplicate' if charge.status == 'duplicate' else 'charge'}:{charge.charge}"


def _references(pairs: list[_Pair]) -> set[str]:
    return {_booking(p.charge) for p in pairs if p.charge}


def _id(pair: _Pair) -> str:
    return pair.intent.id if pair.intent else (pair.charge and pair.charge.pi) or ""
