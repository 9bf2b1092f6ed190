"""The pages of the reconciliation: what is open, each discrepancy, runs and their reports, and healing."""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar.response.base import ASGIResponse

from service.audit import noted
from service.console import Visitor
from service.console.reconciliation import discrepancy_page, open_discrepancies, sides
from service.console.reconciling import DUTY, WITHIN_S, foresee, heal, reconcile_now
from service.foundation.errors import BadRequest, Conflict, Misconfigured, Unavailable
from service.reconcile.acknowledging import acknowledge
from service.reconcile.classes import CLASSES, IN_FLIGHT, SHORT
from service.reconcile.compare import SIDES
from service.reconcile.kept import kept_report, newest_report, runs
from service.reconcile.report import FORMATS
from service.recovery import Step
from service.web.console.asked import asked, asked_id, asked_number
from service.web.console.forms import Form, reason_of
from service.web.console.frame import Back, action, back, console_of, page, show
from service.web.operation import AnyRequest, id_in_path
from service.web.payment_pages import StripeSilent

_HERE = "/console/reconciliation"
_PAGE = 100
_RUNS_SHOWN = 10
_MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
_IN_WORDS = {Step.SETTLE: "It would be settled by what Stripe shows.", Step.ADOPT: "It would be adopted as an order."}
_DONE = {Step.SETTLE: "It is settled by what Stripe shows.", Step.ADOPT: "It is adopted as an order."}


@page(_HERE, nav="Reconciliation")
async def reconciliation(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """What the newest run says, the proof of the balance, and what is open."""
    console, name = console_of(request), asked(request, "class")
    if name and name not in CLASSES:
        raise BadRequest("There is no such class of discrepancies.", code="query-invalid")
    return show(
        visitor,
        "reconciliation.html",
        title="Reconciliation",
        newest=await newest_report(console.engine),
        found=await open_discrepancies(console.engine, name=name or None, after=asked(request, "after")),
        runs=await runs(console.engine, before=None, limit=_RUNS_SHOWN),
        name=name,
        classes=CLASSES,
        in_flight=IN_FLIGHT,
        running=await console.acts.runs(DUTY),
        act=console.acts.of(DUTY),
        has_stripe=bool(console.settings.stripe_api_key),
    )


@action("/console/reconciliation/run")
async def run(request: AnyRequest, visitor: Visitor, form: Form) -> Back:  # noqa: ARG001  the frame's signature
    """Begin a run in the background, as `eo reconcile` runs without options."""
    console = console_of(request)
    if not console.settings.stripe_api_key:
        raise Conflict("This process has no STRIPE_API_KEY. Run `eo reconcile` where it is set.")
    await console.acts.begin(DUTY, lambda say: reconcile_now(console.settings, visitor.who, say), within_s=WITHIN_S)
    return back(_HERE, said="A run has begun. Reload this page to see how far it is.")


@page("/console/reconciliation/runs")
async def all_runs(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """Runs, the newest first."""
    found = await runs(console_of(request).engine, before=asked_id(request, "before"), limit=_PAGE + 1)
    more = found[_PAGE - 1].id if len(found) > _PAGE else None
    return show(visitor, "reconciliation_runs.html", title="Runs", runs=found[:_PAGE], before=more)


@page("/console/reconciliation/runs/{run:uuid}")
async def one_run(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """The report of a run, as it was printed."""
    report = await kept_report(console_of(request).engine, id_in_path(request, "run"))
    lines = await report.page(after=asked_number(request, "after"), limit=_PAGE + 1)
    more = lines[_PAGE - 1][0] if len(lines) > _PAGE else None
    return show(
        visitor,
        "reconciliation_run.html",
        title="Run of the reconciliation",
        report=report,
        lines=[(line, sides(line.ours, line.stripe, line.currency)) for _, line in lines[:_PAGE]],
        after=more,
        sides=SIDES,
        classes=CLASSES,
    )


@page("/console/reconciliation/runs/{run:uuid}/{form:str}")
async def download(request: AnyRequest, visitor: Visitor) -> ASGIResponse:  # noqa: ARG001  the frame's signature
    """The report of a run as a file."""
    run_id, form = id_in_path(request, "run"), request.scope["path_params"]["form"]
    if form not in _MEDIA:
        raise BadRequest("A report is json or csv.", code="query-invalid")
    report = await kept_report(console_of(request).engine, run_id)
    body = "".join([piece async for piece in FORMATS[form](report)])
    headers = {"Content-Disposition": f'attachment; filename="reconciliation-{run_id}.{form}"'}
    return ASGIResponse(body=body.encode(), headers=headers, media_type=_MEDIA[form])


@page("/console/reconciliation/discrepancies/{fingerprint:str}")
async def discrepancy(request: AnyRequest, visitor: Visitor) -> ASGIResponse:
    """A discrepancy with both its sides, what it means, and what to do."""
    return await _shown(request, visitor, foreseen=None)


@action("/console/reconciliation/discrepancies/{fingerprint:str}/preview")
async def preview(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:  # noqa: ARG001  the frame's
    """The same page with what healing would do. It reads at Stripe, so it is no GET."""
    console, fingerprint = console_of(request), _fingerprint(request)
    found = await discrepancy_page(console.engine, fingerprint)
    with _stripe_may_be_away("Nothing was changed."):
        verdict = await foresee(console.settings, found.found)
    may = verdict.step in _DONE
    words = _IN_WORDS[verdict.step] if may else f"Nothing would be done: {verdict.reason or 'a worker has it in hand'}."
    return await _shown(request, visitor, foreseen=(may, words))


@action("/console/reconciliation/discrepancies/{fingerprint:str}/heal")
async def heal_it(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Book what Stripe's own word proves."""
    console, fingerprint, reason = console_of(request), _fingerprint(request), reason_of(form)
    found = await discrepancy_page(console.engine, fingerprint)
    with _stripe_may_be_away("The order's page shows what was done."):
        verdict = await heal(console.settings, found.found, who=visitor.who, reason=reason)
    left = f"Nothing was done: {verdict.reason or 'a worker has it in hand'}."
    said = f"{_DONE[verdict.step]} The next run looks again." if verdict.step in _DONE else left
    return back(f"{_HERE}/discrepancies/{fingerprint}", said=said)


@action("/console/reconciliation/discrepancies/{fingerprint:str}/acknowledge")
async def accept(request: AnyRequest, visitor: Visitor, form: Form) -> Back:
    """Accept a discrepancy as it is."""
    fingerprint = _fingerprint(request)
    await acknowledge(console_of(request).engine, fingerprint, who=visitor.who, reason=reason_of(form))
    said = "It is acknowledged: it stays listed with its age, and does not count until anything about it changes."
    return back(f"{_HERE}/discrepancies/{fingerprint}", said=said)


@contextmanager
def _stripe_may_be_away(meanwhile: str) -> Iterator[None]:
    """Say of a Stripe that does not answer, or that is another installation's, what that means for what was asked."""
    try:
        yield
    except TimeoutError as error:
        raise StripeSilent(f"Stripe did not answer in time. {meanwhile}") from error
    except Unavailable as error:
        raise StripeSilent(f"{error} {meanwhile}") from error
    except Misconfigured as error:
        raise Conflict(f"{error} {meanwhile}") from error


def _fingerprint(request: AnyRequest) -> str:
    return str(request.scope["path_params"]["fingerprint"])


async def _shown(request: AnyRequest, visitor: Visitor, *, foreseen: tuple[bool, str] | None) -> ASGIResponse:
    engine, fingerprint = console_of(request).engine, _fingerprint(request)
    found = await discrepancy_page(engine, fingerprint)
    return show(
        visitor,
        "discrepancy.html",
        title=found.found.name.replace("_", " ").capitalize(),
        found=found,
        foreseen=foreseen,
        noted=await noted(engine, subject=fingerprint, limit=20),
        short=SHORT,
        path=f"{_HERE}/discrepancies/{fingerprint}",
    )
