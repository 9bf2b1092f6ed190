"""Faults on purpose, where Stripe is the sandbox of `eo up`: press a switch, and watch that it does no harm."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec
from litestar.response.base import ASGIResponse
from uuid_utils.compat import uuid7

from service import audit, orders
from service.audit import Action
from service.chaos import SECONDS_MAX, TIMES_MAX, Answer, Fault, Line, Press, Switch
from service.console import Visitor, render, switchboard
from service.console.live import Parts, Read
from service.console.switchboard import CARDS, OFFER_OF, OFFERS, ORDERS_MAX
from service.foundation.errors import BadRequest, NotFound
from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.sql import begin
from service.web.console.forms import Form
from service.web.console.frame import Console, action, back, console_of, page, refused, session_cookie, show
from service.web.console.streams import live, parts_of
from service.web.operation import AnyRequest
from service.web.resources import resources_of

PATH, LIVE = "/console/chaos", "chaos"
_AMOUNTS = (1999, 4200, 995)  # minor units, in turns
# The page is of no use while these are at work, so the answer waits for them.
_AWAITED = {Switch.KILL_POSTGRES, Switch.FORGET, Switch.KEEP_COPY}
_AWAITED_S, _LOOK_S, _NOTE_S = 25.0, 0.2, 10.0


@page(PATH, nav="Chaos", chaos_only=True)
async def chaos(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """The switches, the counts, and what was injected."""
    board = (await _line(console_of(request)).look()).board
    return show(
        visitor,
        "chaos.html",
        title="Chaos",
        offers=[offer for offer in OFFERS if offer.switch in board.switches],
        cards=CARDS,
        orders_max=ORDERS_MAX,
        times_max=TIMES_MAX,
        seconds_max=SECONDS_MAX,
        now=await parts_of(request, LIVE),
    )


@live(LIVE, every_s=1)
def feed(console: Console) -> Read:
    """The counts, the fault that was injected last, and those before it."""
    return partial(_read, console)


async def _read(console: Console) -> Parts:
    board = (await _line(console).look()).board
    statuses = await switchboard.statuses(console.engine, board.faults)
    told = {"offer_of": OFFER_OF, "statuses": statuses, "at": switchboard.at}
    return {
        "counts": render("chaos/counts.html", counts=await switchboard.counts(console.engine, board)),
        "copy": render("chaos/copy.html", copy_at=board.copy_at, at=switchboard.at),
        "last": render("chaos/faults.html", faults=board.faults[:1], **told),
        "earlier": render("chaos/faults.html", faults=board.faults[1:], **told),
    }


@action(f"{PATH}/orders", chaos_only=True)
async def place(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Place orders, so that there is something to watch."""
    kind, count = form.get("card", ""), _number(form, "orders", most=ORDERS_MAX)
    if kind not in CARDS:
        raise BadRequest("The form names a card that this page does not offer.")
    await _note(request, visitor, "place_orders", {"orders": count, "card": kind})
    methods = switchboard.tokens(kind, count)
    account = await switchboard.default_account(console_of(request).engine)
    door = resources_of(request).group_commit
    await asyncio.gather(*(door.submit(_candidate(account, method, n)) for n, method in enumerate(methods)))
    return back(PATH, said=f"{count} orders were placed.")


@action(f"{PATH}/press", chaos_only=True)
async def press(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
    """Press a switch. A fault that strikes an order places one, once `eo up` is ready for it."""
    switch = _switch(form)
    offer = OFFER_OF[switch]
    candidate = None
    if offer.places:
        account = await switchboard.default_account(console_of(request).engine)
        candidate = _candidate(account, CARDS["pays"].token)
    wanted = _press(switch, form, "" if candidate is None else candidate.id)
    shown: audit.Shown = {name: value for name, value in msgspec.to_builtins(wanted).items() if name != "switch"}
    await _note(request, visitor, switch, shown)
    line = _line(console_of(request))
    answer = await line.press(wanted)
    if answer.refused:
        return refused(request, answer.refused, visitor, status=409)
    if candidate is not None:
        await resources_of(request).group_commit.submit(candidate)
    if switch in _AWAITED:
        await _until_ended(line, answer.number)
    if switch is Switch.FORGET:
        await _restore(request, visitor, shown)
    return back(PATH, said=f"{offer.verb}: begun. Below it is followed step by step.")


def _line(console: Console) -> Line:
    if not console.settings.chaos_socket:
        raise NotFound("No `eo up` with a sandbox injects faults here.")
    return Line(Path(console.settings.chaos_socket))


def _switch(form: Form) -> Switch:
    try:
        return Switch(form.get("switch", ""))
    except ValueError:
        raise BadRequest("The form names a switch that this page does not have.") from None


def _press(switch: Switch, form: Form, order: str) -> Press:
    given = OFFER_OF[switch].given
    told = {"switch": switch, "order": order}
    if given:
        told[given] = form.get(given, "")
    try:
        return msgspec.convert(told, Press, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The form has a number that is not possible: {error}.") from None


def _number(form: Form, name: str, *, most: int) -> int:
    text = form.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise BadRequest(f"`{name}` must be a number from 1 to {most}.")
    return int(text)


def _candidate(account: UUID, method: str, nth: int = 0) -> orders.Candidate:
    request = orders.OrderRequest(_AMOUNTS[nth % len(_AMOUNTS)], "usd", method)
    return orders.Candidate.of(account, f"chaos-{uuid7()}", request)


async def _note(request: AnyRequest, visitor: Visitor, subject: str, after: audit.Shown) -> None:
    async with begin(console_of(request).engine) as tx:
        await audit.note(tx, visitor.who, Action.CHAOS, subject, after=after)


async def _restore(request: AnyRequest, visitor: Visitor, after: audit.Shown) -> None:
    """Note again who did it, and keep the visitor signed in: the copy may know of neither."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _NOTE_S
    while True:
        try:
            await console_of(request).access.store_again(session_cookie(request), visitor)
            return await _note(request, visitor, Switch.FORGET, after)
        except Exception as error:
            if not is_unreachable(error) or loop.time() > deadline:
                raise
            await asyncio.sleep(_LOOK_S)


async def _until_ended(line: Line, number: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_AWAITED_S):
            while True:
                if _fault(await line.look(), number).ended is not None:
                    return
                await asyncio.sleep(_LOOK_S)


def _fault(answer: Answer, number: int) -> Fault:
    return next(fault for fault in answer.board.faults if fault.number == number)
