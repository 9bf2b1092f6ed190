"""The pages of what waits and of what is parked, with their actions: park, retry, send a notice again."""

from datetime import datetime

from litestar.response.base import ASGIResponse

from service import notices, outbox
from service.console import Visitor
from service.console.outbox import SHELVES
from service.console.outbox import outbox as outbox_page
from service.console.parked import AT_ONCE_MAX, ids_of_group, ids_of_notices, parked
from service.foundation.errors import BadRequest, Conflict
from service.foundation.instants import instant
from service.web.console.asked import asked, asked_id
from service.web.console.forms import Form, reason_of
from service.web.console.frame import Back, action, back, console_of, page, show
from service.web.operation import AnyRequest, id_in_path

_HERE, _PARKED = "/console/outbox", "/console/parked"
_GONE = "It was not parked any more. Nothing was done."


@page(_HERE, nav="Outbox")
async def waiting(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """What is promised and not on the books, and why it waits."""
    shelf = asked(request, "show") or "waiting"
    if shelf not in SHELVES:
        raise BadRequest("The outbox has no such shelf.", code="query-invalid")
    console = console_of(request)
    checks = (await console.readiness.ask()).checks
    found = await outbox_page(console.engine, shelf, asked(request, "after"), checks)
    rates = await console.sampled.look(console.engine)
    return show(visitor, "outbox.html", title="Outbox", found=found, rates=rates, shelves=SHELVES)


@action("/console/outbox/{row:uuid}/park")
async def park(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Take a row out of delivery."""
    row = id_in_path(request, "row")
    await outbox.park(console_of(request).engine, row, reason_of(form), who=visitor.who)
    return back(_HERE, said=f"{row} is parked. Nothing is sent for it until somebody retries it.")


@action("/console/outbox/{row:uuid}/retry")
async def retry(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Bring a parked row back."""
    row = id_in_path(request, "row")
    done = await outbox.retry(console_of(request).engine, [row], who=visitor.who, reason=reason_of(form))
    return back(_PARKED, said=f"{row} is due again." if done else _GONE)


@page(_PARKED, nav="Parked")
async def what_is_parked(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """What a human has to decide, by reason."""
    found = await parked(
        console_of(request).engine,
        reason=asked(request, "reason") or None,
        after=asked(request, "after"),
        notices_after=asked_id(request, "notices"),
    )
    return show(visitor, "parked.html", title="Parked", found=found, at_once=AT_ONCE_MAX)


@action("/console/parked/{group:str}/retry")
async def retry_group(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Bring back the rows of a group that the page has shown, as many as were confirmed."""
    reason, engine = reason_of(form), console_of(request).engine
    ids = await ids_of_group(engine, request.scope["path_params"]["group"], _until(form))
    _confirmed(form, len(ids))
    done = await outbox.retry(engine, ids, who=visitor.who, reason=reason)
    return back(_PARKED, said=f"{len(done):,} rows are due again.")


@action("/console/notices/{notice:uuid}/resend")
async def resend(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Send a notice again."""
    notice = id_in_path(request, "notice")
    done = await notices.resend(console_of(request).engine, [notice], who=visitor.who, reason=reason_of(form))
    gone = "It is being sent at this moment, or its endpoint is deleted. Nothing was done."
    return back(_PARKED, said=f"{notice} will be sent again." if done else gone)


@action("/console/notices/resend")
async def resend_all(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Send the parked notices again that the page has counted, as many as were confirmed."""
    reason, engine = reason_of(form), console_of(request).engine
    ids = await ids_of_notices(engine, _until(form))
    _confirmed(form, len(ids))
    done = await notices.resend(engine, ids, who=visitor.who, reason=reason)
    left = len(ids) - len(done)
    more = f" {left:,} stay parked, because their endpoint is deleted or gone." if left else ""
    return back(_PARKED, said=f"{len(done):,} notices will be sent again.{more}")


def _until(form: Form) -> datetime:
    """Up to which moment the page has shown what is parked."""
    try:
        return instant(form.get("until", ""), zone_required=True)
    except ValueError as error:
        raise BadRequest("The form cannot be read.") from error


def _confirmed(form: Form, there_are: int) -> None:
    """Refuse where another number was confirmed than there is."""
    said = form.get("number", "").strip().replace(",", "")
    if said != str(there_are):
        raise Conflict(f"There are {there_are:,} of them now, and another number was confirmed. Nothing was done.")
