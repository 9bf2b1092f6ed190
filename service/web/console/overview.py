"""The front page: whether the money agrees, and what moves."""

import time
from collections import deque

from litestar.response.base import ASGIResponse

from service.console import Visitor, money_now, overview, plots, render
from service.console.live import Parts, Read
from service.console.rendering import lasting
from service.console.verdict import judge
from service.outbox import backlog
from service.web.console.frame import Console, page, show
from service.web.console.streams import live, parts_of
from service.web.operation import AnyRequest

_EVERY_S = 2.0
_VERDICT_S = 5.0  # the sums of the verdict change more slowly than the plots
_KEPT = 150  # readings of the lines: five minutes


@page("/console", nav="Overview")
async def front_page(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """The front page."""
    return show(visitor, "overview.html", title="Overview", now=await parts_of(request, "overview"))


@live("overview", every_s=_EVERY_S)
def feed(console: Console) -> Read:
    """The parts of the front page. It remembers the last minutes of what it draws as a line."""
    ages: deque[float] = deque(maxlen=_KEPT)
    verdict, judged_at = "", float("-inf")

    async def read() -> Parts:
        nonlocal verdict, judged_at
        engine = console.engine
        outbox = await backlog(engine, overview.COUNTED_MAX)
        ages.append(outbox.oldest_s)
        if time.monotonic() - judged_at >= _VERDICT_S:
            money = await money_now.read(engine, outbox.parked)
            verdict = render("overview/verdict.html", verdict=judge(money), proof=money.proof)
            judged_at = time.monotonic()
        calls = await overview.calls(engine)
        label = f"The oldest promise is {lasting(outbox.oldest_s)} old; within this line at most {lasting(max(ages))}."
        answers = "Stripe's answers to the newest charges, the newest at the right: "
        answers += f"median {calls.median_ms:.0f} ms, 19 of 20 within {calls.slow_ms:.0f} ms."
        return {
            "ready": render("overview/ready.html", ready=await console.readiness.ask()),
            "verdict": verdict,
            "states": render("overview/states.html", states=await overview.states(engine), bar=plots.bar),
            "promises": render("overview/promises.html", outbox=outbox, line=plots.line(ages, label)),
            "absorbed": render("overview/absorbed.html", guards=await overview.absorbed(engine), bar=plots.bar),
            "stripe": render("overview/stripe.html", calls=calls, line=plots.line(calls.times_ms, answers, 4)),
        }

    return read
