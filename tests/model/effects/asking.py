"""What a producer asks for, judged under the lock of the order."""

from collections.abc import Iterator

from tests.model.checker import Move
from tests.model.effects.rows import (
    BEFORE,
    CANCEL,
    CAPTURE,
    CHARGE,
    NAMES,
    POST,
    REFUNDS,
    SECOND,
    Database,
    Row,
    State,
    row,
)
from tests.model.effects.setting import Setting


def asks(m: Setting, s: State) -> Iterator[Move[State]]:
    db = s.db
    for effect in m.asks:
        if effect in REFUNDS:
            asked = _refund(m, s, effect)
        elif effect == BEFORE:
            asked = _pay(m, s)
        else:
            asked = _change(m, s, effect)
        if asked is not None:
            yield Move(f"the producer asks for {NAMES[effect]}", s._replace(db=asked))
    if CANCEL in m.asks and db.order == "pending" and (db.life == "closed" or not m.on("R31 cancel")):
        canceled = row(db, CHARGE, None)._replace(order="canceled")
        yield Move("the producer cancels, and is told that nothing will be charged", s._replace(db=canceled))


def _refund(m: Setting, s: State, effect: int) -> Database | None:
    db, amount = s.db, m.money[effect]
    under_way = db.refunding if m.on("R26 cap") else 0
    if db.order != "paid" or db.rows[effect] is not None or db.captured - db.refunded - under_way < amount:
        return None
    drawn = min(db.owed, amount)
    new = Row(copy=int(s.restored), drawn=0 if m.on("R26 drawn") else drawn)
    return row(db, effect, new)._replace(refunding=db.refunding + amount)


def _change(m: Setting, s: State, effect: int) -> Database | None:
    db = s.db
    states = ("authorized",) if effect == CAPTURE else ("requires_action", "authorized")
    if db.order not in states or db.changing or db.rows[effect] is not None:
        return None
    return row(db, effect, Row(copy=int(s.restored)))


def _pay(m: Setting, s: State) -> Database | None:
    """Attempt 2, after attempt 1 has been canceled at Stripe; or attempt 1 again, if it was never executed (R25)."""
    db = s.db
    if db.order != "failed" or db.changing or db.rows[SECOND] is not None:
        return None
    first = db.rows[CHARGE]
    db = db._replace(order="processing")
    if first is not None and first.said == "500":  # never executed: the same key, as old as the order
        return row(db, CHARGE, Row(born=POST))
    if not m.on("R25"):
        return row(db, SECOND, Row())
    return row(db, BEFORE, Row(copy=int(s.restored)))
