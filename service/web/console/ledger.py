"""The pages of the books: trial balance, accounts, entries, suspense, and verifying on request."""

from urllib.parse import quote

from litestar.response.base import ASGIResponse

from service.balance import open_movements
from service.console import Visitor
from service.console.account import PAGE, account_day, account_days
from service.console.ledger import entry, entry_of, trials
from service.console.verifying import DUTY, POSTINGS_MAX, WITHIN_S, last_verified, postings_about, verify_now
from service.foundation.errors import Conflict
from service.web.console.asked import asked, asked_day, asked_moment, asked_number
from service.web.console.forms import Form
from service.web.console.frame import Back, action, back, console_of, page, show
from service.web.operation import AnyRequest, id_in_path

_HERE = "/console/ledger"


@page(_HERE, nav="Ledger")
async def ledger(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """Every account per currency, now or at a moment; what stands in suspense; the last verification."""
    console, as_of, start = console_of(request), asked_moment(request, "as_of"), asked_number(request, "suspense")
    movements = await open_movements(console.engine)
    return show(
        visitor,
        "ledger.html",
        title="Ledger",
        as_of=as_of,
        trials=await trials(console.engine, as_of),
        movements=movements[start : start + PAGE],
        suspense=len(movements),
        next_suspense=start + PAGE if len(movements) > start + PAGE else None,
        verified=await last_verified(console.engine),
        verifying=await console.acts.runs(DUTY),
        act=console.acts.of(DUTY),
        is_small=await postings_about(console.engine) <= POSTINGS_MAX,
    )


@action("/console/ledger/verify")
async def verify(request: AnyRequest, visitor: Visitor, form: Form) -> Back:  # noqa: ARG001  the frame's signature
    """Recompute the books in the background."""
    console = console_of(request)
    if await postings_about(console.engine) > POSTINGS_MAX:
        raise Conflict("The books are too large for this page. `eo ledger verify` reads them, whatever it takes.")
    await console.acts.begin(DUTY, lambda say: verify_now(console.settings, visitor.who, say), within_s=WITHIN_S)
    return back(_HERE, said="The books are being recomputed. Reload this page to see the result.")


@page("/console/ledger/entries")
async def find_entry(request: AnyRequest, visitor: Visitor) -> ASGIResponse:  # noqa: ARG001  the frame's signature
    """The way to the entry with a reference."""
    found = await entry_of(console_of(request).engine, asked(request, "reference").strip())
    return ASGIResponse(status_code=303, headers={"Location": f"{_HERE}/entries/{found}"}, media_type="text/plain")


@page("/console/ledger/entries/{entry:uuid}")
async def one_entry(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """An entry as T-accounts."""
    found = await entry(console_of(request).engine, id_in_path(request, "entry"))
    return show(visitor, "ledger_entry.html", title="Journal entry", found=found)


@page("/console/ledger/accounts/{currency:str}/{code:str}")
async def account(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """The days of an account; with a day in the address, what was booked on it then."""
    named, engine = request.scope["path_params"], console_of(request).engine
    code, currency, day = named["code"], named["currency"], asked_day(request, "day")
    path = f"{_HERE}/accounts/{quote(currency, safe='')}/{quote(code, safe=':')}"
    if day is None:
        days = await account_days(engine, code, currency, asked_day(request, "before"))
        return show(visitor, "ledger_account.html", title=f"{code}, {currency}", found=days, path=path)
    entries = await account_day(engine, code, currency, day, asked(request, "after"))
    return show(visitor, "ledger_day.html", title=f"{code}, {currency}, {day}", found=entries, path=path)
