"""What happens at Stripe without us: its customers, its banks, its dashboard, and what it does after a 500."""

from collections.abc import Iterator

from tests.model.checker import Move
from tests.model.effects.rows import EFFECTS, NAMES, NEVER, PAST, Intent, Key, Made, State, key, put
from tests.model.effects.setting import Setting
from tests.model.effects.stripe import runs


def happens(m: Setting, s: State) -> Iterator[Move[State]]:
    for a, intent in enumerate(s.intents):
        yield from _customer(m, s, a, intent)
    for effect in EFFECTS:
        for nth, known in enumerate(s.keys[effect]):
            if known and known.answer == "undecided":
                yield from _decides(m, s, effect, nth, known)
    for re, made in enumerate(s.made):
        if made.status == "pending" or (made.status == "succeeded" and m.later):
            for status in ("succeeded", "failed") if made.status == "pending" else ("failed",):
                after = s._replace(made=put(s.made, re, made._replace(status=status)))
                yield Move(f"Stripe: {NAMES[made.effect]} {status}", after, works=made.status == "pending")
    left = 2 - sum(m.money[made.effect] for made in s.made if made.status != "failed")
    if s.past and s.intents[0] == "succeeded" and left >= m.money[PAST]:
        after = s._replace(past=False, made=(*s.made, Made(PAST)))
        yield Move("somebody refunds at Stripe, past us", after)


def _customer(m: Setting, s: State, a: int, intent: Intent) -> Iterator[Move[State]]:
    def becomes(new: Intent, name: str, *, works: bool = False) -> Move[State]:
        second = new == "succeeded" and "succeeded" in s.intents
        after = s._replace(intents=put(s.intents, a, new))
        if new == "canceled" and a == 0:
            after = after._replace(canceled_by=NEVER)
        return Move(
            f"PaymentIntent {a + 1}: {name}",
            after,
            works=works,
            broken="a second successful charge of one order" if second else None,
        )

    paid: Intent = "held" if "held" in m.ends else "succeeded"
    if intent == "action":
        yield becomes(paid, "the customer confirms it")
        yield becomes("declined", "3-D Secure fails")
    elif intent == "declined" and m.later:
        yield becomes(paid, "the customer pays it with another card")
        yield becomes("bank", "the customer tries a bank")
    elif intent == "bank":
        yield becomes("succeeded", "the bank says yes", works=True)
        yield becomes("declined", "the bank says no", works=True)
    elif intent == "held":
        yield becomes("canceled", "the authorisation ends after 7 days", works=True)


def _decides(m: Setting, s: State, effect: int, nth: int, known: Key) -> Iterator[Move[State]]:
    done = key(s, effect, nth, known._replace(answer="500"))
    yield Move(f"Stripe drops what it answered 500 to: {NAMES[effect]}", done, works=True)
    for answer, _, after, harm in runs(done, effect, known.copy, m.ends, m.money, pends=m.pends):
        if answer != "refused":
            yield Move(f"Stripe still runs what it answered 500 to: {NAMES[effect]} {answer}", after, broken=harm)
