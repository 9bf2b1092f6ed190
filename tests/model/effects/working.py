"""A worker: it opens an effect, calls Stripe and settles, and may sleep or die between any two of these."""

from collections.abc import Iterator

from tests.model.checker import Move
from tests.model.effects import facts
from tests.model.effects.rows import (
    BEFORE,
    CHANGES,
    CHARGES,
    EFFECTS,
    IDLE,
    MISS,
    NAMES,
    NEVER,
    POST,
    REFUND,
    REFUNDS,
    SECOND,
    TRIES,
    YOUNG,
    Database,
    Key,
    Row,
    Said,
    State,
    Worker,
    key,
    row,
    work,
)
from tests.model.effects.setting import Setting
from tests.model.effects.stripe import charge_of, runs

_SAID: dict[str, Said] = {"500": "500", "refused": "refused", "conflict": "conflict"}


def opens(m: Setting, s: State, i: int) -> Iterator[Move[State]]:
    if not s.db.verified and m.on("R31"):
        return
    for effect in EFFECTS:
        known = s.db.rows[effect]
        if known is None or known.status not in ("pending", "open"):
            continue
        if effect in CHARGES and known.status == "pending" and s.db.order not in ("pending", "processing"):
            absorbed = row(s.db, effect, None)
            yield Move(f"{NAMES[effect]} is delivered, and no longer wanted", s._replace(db=absorbed), works=True)
            continue
        yield _opened(m, s, i, effect, known)


def _opened(m: Setting, s: State, i: int, effect: int, known: Row) -> Move[State]:
    if known.first == NEVER and known.born >= YOUNG:
        known = known._replace(first=known.born)
    look = known.look or (known.first >= POST and m.on("R17"))
    first, miss = not known.maybe, _miss(m, effect, known)
    known = known._replace(status="open", look=look)
    if not look and m.on("R13"):
        known = known._replace(maybe=True, first=max(known.first, 0), last=0)
    order = "processing" if s.db.order == "pending" else s.db.order
    workers = tuple(w._replace(token=w.token and w.effect != effect) for w in s.workers)
    worker = Worker(
        "opened",
        effect,
        known.copy,
        known.nth,
        token=True,
        look=look,
        first=first and not look,
        outcome=miss if look else "",
    )
    name = f"{NAMES[effect]} is opened, to {'look' if look else 'send'}"
    db = row(s.db._replace(order=order), effect, known)
    if effect == BEFORE and not m.on("R25 answer") and db.rows[SECOND] is None:
        db = row(db, SECOND, Row())
    return Move(name, work(s._replace(db=db, workers=workers), i, worker), works=True)


def _miss(m: Setting, effect: int, known: Row) -> str:
    """What it will mean if Stripe does not show it (R18, R37)."""
    if known.last == NEVER and not known.said:
        return "unsent"
    if effect in CHANGES:
        return "next" if m.on("R37 next try") else "send"
    if known.last >= MISS or not m.on("R18"):
        if effect in CHARGES or (effect in REFUNDS and not m.on("R26 asked again")):
            return "never"
        return "next"
    return "send" if known.first < POST and not known.said else "look"


def works(m: Setting, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
    if w.doing == "answered":
        yield _settle(m, s, i, w)
    elif w.look:
        yield _look(m, s, i, w)
    elif w.late and m.on("R14"):
        yield _answer(m, s, i, w, "cleared" if w.first else "send", "too late, abandoned before the call")
    else:
        yield from _send(m, s, i, w)


def _answer(m: Setting, s: State, i: int, w: Worker, outcome: str, name: str, re: int = -1) -> Move[State]:
    answered = Worker("answered", w.effect, w.copy, w.nth, w.token, outcome=outcome, re=re)
    return Move(f"{w}: {name}", work(s, i, answered), works=True)


def _look(m: Setting, s: State, i: int, w: Worker) -> Move[State]:
    """A PaymentIntent by its id or our metadata, a refund in the list of its payment by our metadata (R19)."""
    if w.effect in REFUNDS:
        for re, made in enumerate(s.made):
            ours = made.effect == w.effect and (made.copy == w.copy or m.on("R32 refund"))
            if ours or not m.on("R19"):
                return _answer(m, s, i, w, f"is {made.status}", f"finds it: {made.status}", re)
    else:
        intent = s.intents[charge_of(s, w.effect)]
        shows = intent != "none" if w.effect in CHARGES else intent in ("succeeded", "canceled")
        if shows:
            return _answer(m, s, i, w, f"is {intent}", f"finds the PaymentIntent {intent}")
    return _answer(m, s, i, w, w.outcome, f"does not find it: {w.outcome}")


def _send(m: Setting, s: State, i: int, w: Worker) -> Iterator[Move[State]]:
    known = s.keys[w.effect][w.nth]
    if known is None:
        for answer, re, after, harm in runs(s, w.effect, w.copy, m.ends, m.money, pends=m.pends):
            new = key(after, w.effect, w.nth, Key(answer, w.copy, re))
            yield from _replies(m, new, i, w, answer, f"sends, Stripe answers {answer}", re, harm)
    elif known.copy != w.copy:
        yield _answer(m, s, i, w, "conflict", "sends, and the key was used for another request")
    elif known.answer in ("500", "undecided"):
        yield _answer(m, s, i, w, "500", "sends, Stripe replays the 500")
    elif known.answer == "short":
        outcome = "cleared" if w.first or not m.on("R16") else "look"
        yield _answer(m, s, i, w, outcome, "sends, Stripe replays that its balance is short")
    else:
        name = f"sends, Stripe replays {known.answer}"
        yield from _replies(m, s, i, w, known.answer, name, known.re, None)
    if s.faults:
        yield from _odd(m, s._replace(faults=s.faults - 1), i, w, fresh=known is None)


def _replies(
    m: Setting, s: State, i: int, w: Worker, answer: str, name: str, re: int, harm: str | None
) -> Iterator[Move[State]]:
    outcome = _judged(m, w, answer)
    yield _answer(m, s, i, w, outcome, name, re)._replace(broken=harm)
    if s.faults:
        for again in ("send", "look"):
            lost = _answer(m, s._replace(faults=s.faults - 1), i, w, again, f"{name}; the reply is lost: {again}")
            yield lost._replace(works=False, broken=harm)


def _judged(m: Setting, w: Worker, answer: str) -> str:
    if answer != "refused":
        return f"is {answer}"
    if w.effect in CHANGES:
        return "refused" if m.on("R37 refusal") else "over"
    return "over" if w.first or not m.on("R16") else "look"


def _odd(m: Setting, s: State, i: int, w: Worker, *, fresh: bool) -> Iterator[Move[State]]:
    unexecuted = "cleared" if w.first or not m.on("R16") else "send"
    yield _answer(m, s, i, w, unexecuted, "sends: 429")._replace(works=False)
    yield _answer(m, s, i, w, "send", "sends, the request is lost")._replace(works=False)
    if fresh:
        after = key(s, w.effect, w.nth, Key("undecided", w.copy))
        yield _answer(m, after, i, w, "500", "sends: a saved 500, Stripe is undecided")._replace(works=False)
    if fresh and w.effect in REFUNDS:
        after = key(s, w.effect, w.nth, Key("short", w.copy))
        yield _answer(m, after, i, w, unexecuted, "sends: Stripe's balance is short")._replace(works=False)


def _settle(m: Setting, s: State, i: int, w: Worker) -> Move[State]:
    done, known = work(s, i, IDLE), s.db.rows[w.effect]
    name = f"{w}: settles {w.outcome}"
    if w.outcome.startswith("is ") and (w.token or w.outcome == "is succeeded" or not m.on("R21")):
        return Move(name, done._replace(db=_fact(m, s, w)), works=True)
    if known is None or known.status != "open" or not (w.token or not m.on("R21")):
        return Move(f"{w}: fenced off", done, works=True)
    told = s.told or (w.effect == REFUND and w.outcome == "never")
    return Move(name, done._replace(db=_undecided(m, s.db, w, known), told=told), works=True)


def _fact(m: Setting, s: State, w: Worker) -> Database:
    db, intent = s.db, w.outcome.removeprefix("is ")
    if w.effect in CHARGES:
        return facts.intent_is(db, w.effect, intent, m.on)
    if w.effect in REFUNDS:
        after = facts.refund_is(db, w.effect, w.re, intent, m.money[w.effect], m.on)
        return after if after.refunded <= after.captured else facts.shown_with_others(s, w.re, m.on, m.money)
    a = 0 if w.effect == BEFORE or db.rows[SECOND] is None else 1
    return facts.change_is(facts.intent_is(db, a, intent, m.on, by_pay=w.effect == BEFORE), w.effect, intent, m.on)


def _undecided(m: Setting, db: Database, w: Worker, known: Row) -> Database:
    if w.outcome == "cleared":
        return row(db, w.effect, Row("open", nth=known.nth, copy=known.copy, born=known.born))
    if w.outcome == "unsent":
        return row(db, w.effect, known._replace(first=0, look=False))
    if w.outcome == "next":
        grows = w.effect in CHANGES or not m.on("R26 same key")
        nth = min(known.nth + 1, TRIES - 1) if grows else known.nth
        return row(db, w.effect, Row("open", nth=nth, copy=known.copy))
    if w.outcome in ("never", "over"):
        return _ended(m, db, w, known)
    if w.outcome == "send":
        return row(db, w.effect, known._replace(look=False))
    return row(db, w.effect, known._replace(look=True, said=_SAID.get(w.outcome, known.said)))


def _ended(m: Setting, db: Database, w: Worker, known: Row) -> Database:
    """Without an object at Stripe: never executed, or refused."""
    if w.effect in CHARGES:
        db = row(db, w.effect, Row("declined", said="500"))
        return db._replace(order="failed" if db.order == "processing" else db.order)
    if w.effect in REFUNDS:
        db = row(db, w.effect, Row("refused", copy=known.copy))
        return db._replace(refunding=db.refunding - m.money[w.effect])
    return facts.change_is(db, w.effect, "refused", m.on)
