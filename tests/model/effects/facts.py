"""What a fact of Stripe's makes of the database: one transaction for row, order and books, under the order's lock."""

from collections.abc import Callable, Mapping

from tests.model.effects.rows import (
    BEFORE,
    CANCEL,
    CAPTURE,
    CHARGES,
    PAST,
    SECOND,
    Database,
    Made,
    Order,
    Row,
    State,
    row,
)

On = Callable[[str], bool]
WAITS: Mapping[str, Order] = {"action": "requires_action", "bank": "processing", "held": "authorized"}
_STAGE = {"pending": 0, "open": 0, "processing": 1, "succeeded": 2, "failed": 3, "refused": 3}


def payment(s: State, db: Database, a: int, on: On, *, adopts: bool = False) -> Database:
    """PaymentIntent `a` as Stripe has it at this moment, settled from whatever source."""
    if adopts and db.rows[a] is None and s.intents[a] != "none":
        db = row(db, a, Row("open"))
        if db.order == "failed":
            db = db._replace(order="processing")
    return intent_is(db, a, s.intents[a], on, by_pay=a == 0 and s.canceled_by == BEFORE)


def intent_is(db: Database, a: int, intent: str, on: On, *, by_pay: bool = False) -> Database:
    known = db.rows[a]
    if known is None or intent == "none":
        return db
    if intent == "succeeded":
        return _taken(db, a, known)
    newest = wanted(db) == a or not on("R25 newest")
    moves = newest and db.order in ("pending", "processing", "requires_action", "authorized")
    if known.status in ("declined", "canceled", "succeeded", "duplicate"):
        return db._replace(order="canceled") if intent == "canceled" and moves and not on("R25 newest") else db
    if intent == "declined" or (intent == "canceled" and by_pay and on("R31 whose cancel")):
        db = row(db, a, Row("declined"))
        return db._replace(order="failed") if moves else db
    if intent == "canceled":
        db = row(db, a, Row("canceled"))
        return db._replace(order="canceled") if moves else db
    if known.status == "authorized" and intent != "held":
        return db  # an old answer
    db = row(db, a, Row(intent if intent != "held" else "authorized"))
    return db._replace(order=WAITS[intent]) if moves else db


def wanted(db: Database) -> int:
    """The newest attempt that is wanted."""
    before = db.rows[BEFORE]
    return SECOND if db.rows[SECOND] is not None or (before is not None and before.going) else 0


def _taken(db: Database, a: int, known: Row) -> Database:
    """Stripe's success outranks every state (R23); a second one is a duplicate, for a human."""
    if known.status in ("succeeded", "duplicate"):
        return db
    other = db.rows[1 - a]
    second = other is not None and other.status == "succeeded"
    db = row(db, a, Row("duplicate" if second else "succeeded"))
    return db._replace(order="paid", captured=2)


def change_is(db: Database, effect: int, intent: str, on: On) -> Database:
    """A capture or cancellation, by its PaymentIntent's state."""
    known = db.rows[effect]
    if known is None or not known.going:
        return db
    done = intent == ("succeeded" if effect == CAPTURE else "canceled")
    db = row(db, effect, Row("done" if done else "refused"))
    if done and effect == BEFORE and db.order == "processing" and db.rows[SECOND] is None:
        db = row(db, SECOND, Row())
    return db


def refund_is(db: Database, effect: int, re: int, status: str, amount: int, on: On) -> Database:
    """A refund, by what Stripe has. It never goes back; each stage is booked once."""
    known = db.rows[effect]
    if known is None or known.re not in (-1, re):
        return db
    if known.status == "refused" and known.re == -1:
        return db
    was, now = _STAGE[known.status], _STAGE[status if status != "pending" else "processing"]
    if now <= was and (on("R26 stages") or was in (now, 0)):
        return db
    if was == 0:
        drawn = min(db.owed, amount) if on("R26 drawn") else known.drawn
        db = db._replace(owed=db.owed - drawn, payable=db.payable + amount - drawn)
    if was <= 1 and now >= 2:
        db = db._replace(refunding=db.refunding - amount)
    if now == 2:
        db = db._replace(refunded=db.refunded + amount, payable=db.payable - amount, out=db.out + amount)
    if now == 3:
        db = db._replace(owed=db.owed + amount)
        if was == 2:
            db = db._replace(refunded=db.refunded - amount, payable=db.payable + amount, out=db.out - amount)
    return row(db, effect, known._replace(status="processing" if now == 1 else status, re=re))


def shown(db: Database, re: int, made: Made, amount: int, on: On) -> Database:
    """A refund that Stripe shows in a list or an event: ours by its metadata, else it was made past us."""
    effect = made.effect
    known, mine = db.rows[PAST], db.rows[effect]
    another = mine is not None and mine.copy != made.copy and not on("R32 refund")
    if effect == PAST or another or not on("R37 metadata"):
        if known is None and not (mine is not None and mine.re == re):
            db = row(db, PAST, Row())._replace(refunding=db.refunding + amount)
        return refund_is(db, PAST if known is None or known.re in (re, -1) else effect, re, made.status, amount, on)
    if db.rows[effect] is None:
        db = row(db, effect, Row(copy=made.copy))._replace(refunding=db.refunding + amount)
    return refund_is(db, effect, re, made.status, amount, on)


def shown_with_others(s: State, re: int, on: On, amounts: tuple[int, ...]) -> Database:
    """What one refund is now. Where that is more than was taken, another has failed meanwhile: all are read first."""
    db = shown(s.db, re, s.made[re], amounts[s.made[re].effect], on)
    if db.refunded <= db.captured or not on("R26 read again"):
        return db
    db = s.db
    for at in sorted(range(len(s.made)), key=lambda at: s.made[at].status != "failed"):
        db = shown(db, at, s.made[at], amounts[s.made[at].effect], on)
    return db


def adopted(s: State, on: On, amounts: tuple[int, ...]) -> Database:
    """A complete listing: PaymentIntents first, so that a refund finds its charge settled, then refunds (R31)."""
    db = s.db
    if not on("R31 payments first"):
        for re, made in enumerate(s.made):
            db = shown(db, re, made, amounts[made.effect], on)
        if db.refunded > 0:
            return db._replace(captured=0)
    for a in reversed(CHARGES):
        db = payment(s, db, a, on, adopts=True)
    if on("R31 refunds"):
        for re, made in enumerate(s.made):
            if re not in s.lost or on("R31 failures"):
                db = shown(db, re, made, amounts[made.effect], on)
    return db


__all__ = [
    "BEFORE",
    "CANCEL",
    "adopted",
    "change_is",
    "intent_is",
    "payment",
    "refund_is",
    "shown",
    "shown_with_others",
    "wanted",
]
