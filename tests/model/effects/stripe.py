"""Stripe's side: what a request does there, and what its key replays."""

from collections.abc import Iterator

from tests.model.effects.rows import BEFORE, CANCEL, CAPTURE, CHARGES, REFUNDS, Intent, Made, State, Worker, put

CANCELABLE = ("action", "held", "declined")


def charge_of(s: State, effect: int) -> int:
    """The PaymentIntent that an effect is about."""
    if effect in CHARGES:
        return effect
    return 0 if effect == BEFORE or s.intents[1] == "none" else 1


def runs(
    s: State, effect: int, copy: int, ends: tuple[Intent, ...], amounts: tuple[int, ...], *, pends: bool
) -> Iterator[tuple[str, int, State, str | None]]:
    """What can come of it when Stripe runs a request: the answer, the id of a refund, all after it, what it breaks."""
    a = charge_of(s, effect)
    if effect in CHARGES:
        for end in ends:
            yield end, -1, s._replace(intents=put(s.intents, a, end)), _harm(s, a, end)
    elif effect == CAPTURE:
        if s.intents[a] == "held":
            yield "succeeded", -1, s._replace(intents=put(s.intents, a, "succeeded")), None
        else:
            yield "refused", -1, s, None
    elif effect in (CANCEL, BEFORE):
        if s.intents[a] in CANCELABLE:
            by = effect if a == 0 else s.canceled_by
            yield "canceled", -1, s._replace(intents=put(s.intents, a, "canceled"), canceled_by=by), None
        else:
            yield "refused", -1, s, None
    elif effect in REFUNDS:
        left = 2 - sum(amounts[m.effect] for m in s.made if m.status != "failed")
        if "succeeded" not in s.intents or left < amounts[effect]:
            short = not s.past_used and not s.restored and "succeeded" in s.intents
            yield "refused", -1, s, "a refund that was accepted is refused for want of money" if short else None
        else:
            twice = any(m.effect == effect for m in s.made)
            harm = "one request is refunded twice" if twice else None
            yield "succeeded", len(s.made), s._replace(made=(*s.made, Made(effect, copy))), harm
            if pends:
                yield "pending", len(s.made), s._replace(made=(*s.made, Made(effect, copy, "pending"))), harm


def _harm(s: State, a: int, end: str) -> str | None:
    if end in ("succeeded", "held", "action") and s.db.order == "canceled":
        return "a canceled order is charged"
    if end == "succeeded" and "succeeded" in s.intents:
        return "a second successful charge of one order"
    if s.intents[a] != "none":
        return "one attempt is executed twice"
    return None


__all__ = ["CANCELABLE", "Worker", "charge_of", "runs"]
