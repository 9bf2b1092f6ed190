"""A worker that is killed or frozen in the worst moment: Stripe has charged, and the worker has not heard it."""

import signal
from collections.abc import Generator

from service.ops.chaos.deeds import CREATE
from service.ops.chaos.hands import BACK_S, Deed, Failed, Plan, Work, lasting, until

_CHARGED_S = 30.0  # within so many seconds the order that was placed is charged
_ANSWER_S = 3.0  # so late the answer comes that a frozen worker finds when it wakes
_BOOKED_S = 1.0  # from the repeat's answer to the books, with much to spare
_SECOND = "worker-2"
_STALL, _SEEN = 0, 2  # the rules of `_withheld`, by their place


def kill_after_charge(work: Work) -> Deed:
    """Kill the worker after the charge, before it hears of it."""
    with work.plan(*_withheld(work, stall_s=_CHARGED_S, then="cut")) as plan:
        yield from _until_charged(work, plan)
        yield from work.kill("worker")
        work.say(
            f"Nobody here knows of the charge. The row in the outbox comes due again: after at most "
            f"{work.hands.settings.outbox_lease_s:.0f} s."
        )
        yield from _until_repeated(work, plan)
    _conclude(work)


def freeze(work: Work) -> Deed:
    """Stop a worker past its lease while another takes over; then let it go on with what it believes."""
    work_parts, parts = work.hands.installation.parts, work.hands.parts
    with work.plan(*_withheld(work, stall_s=_ANSWER_S, then="answer")) as plan:
        yield from _until_charged(work, plan)
        pid = work.hands.send("worker", signal.SIGSTOP)
        try:
            work.inject("worker frozen")
            work.say(f"The worker (pid {pid}) is frozen by SIGSTOP: neither dead nor alive.")
            second = work.hands.installation.add(_SECOND)
            parts.add(second)
            if not (yield from until(second.is_ready, within_s=BACK_S)):
                raise Failed(f"A second worker did not start: {second.last_words()}")
            work.say(f"A second worker (pid {second.pid}) is there. It may have the order when the lease is over.")
            yield from _until_repeated(work, plan)
        finally:
            if work.hands.part("worker").pid == pid and work.hands.part("worker").is_running:
                work.hands.send("worker", signal.SIGCONT)
                work.say(f"The first worker (pid {pid}) wakes, and holds a lease that is not its own any more.")
            if _SECOND in work_parts:
                parts.hold(_SECOND)
        try:
            yield from lasting(_BOOKED_S)
            yield from work.end(_SECOND)
        finally:
            parts.drop(_SECOND)
            del work_parts[_SECOND]
    _conclude(work)


def _withheld(work: Work, *, stall_s: float, then: str) -> Generator[dict[str, object], None, None]:
    """The answer to this order's charge comes too late, and no event tells of it. The third rule only counts."""
    order = {"metadata_order": work.press.order}
    yield {"fault": "stall", "stall_s": stall_s, "then": then, "times": 1, **CREATE, **order}
    yield {"fault": "event_drop", **order}
    yield {"fault": "drop_before", "probability": 0.0, **CREATE, **order}


def _until_charged(work: Work, plan: Plan) -> Deed:
    work.say("Armed: Stripe will charge this order, and withhold its answer and its events.")
    if not (yield from until(lambda: plan.fired(_STALL) > 0, within_s=_CHARGED_S)):
        raise Failed("The order was not sent to Stripe in time, so nobody was harmed. Is the worker up?")
    work.inject("answers withheld")
    work.say(f"Stripe has charged it: {', '.join(work.hands.witness.charges(work.press.order))}.")


def _until_repeated(work: Work, plan: Plan) -> Deed:
    settings = work.hands.settings
    within_s = BACK_S + settings.outbox_lease_s + settings.charge_lease_s
    if not (yield from until(lambda: plan.matched(_SEEN) > 1, within_s=within_s)):
        raise Failed(f"The order was not sent again within {within_s:.0f} s; `eo orders show` says why.")
    work.say("The same request came again, under the same key. Stripe repeated its first answer.")
    yield from lasting(_BOOKED_S)


def _conclude(work: Work) -> None:
    charges = work.hands.witness.charges(work.press.order)
    times = "once" if len(charges) == 1 else f"{len(charges)} times"
    work.say(f"By Stripe's own books this order was charged {times}: {', '.join(charges)}.")
