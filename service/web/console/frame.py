"""What all pages and actions of the console share: who comes in, the answers' policy, forms and their token.

A module of pages decorates its handlers with `@page(…)` or `@action(…)`, and is named in `pages`. Litestar's own CSRF
protection and sessions are not used: its token is bound to a cookie of its own and not to the session, and its sessions
are not in PostgreSQL, where every API process finds them.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from litestar import Litestar
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.response.base import ASGIResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import Access, Doorway, Visitor, render
from service.console.access import Mode, form_token, is_form_token, sealed, unsealed
from service.console.acts import Acts
from service.console.doorway import PATH
from service.console.live import Feed
from service.console.outbox import Sampled
from service.foundation.errors import BadRequest
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from service.monitoring import ReadyCheck
from service.web import problems
from service.web.console.forms import Form, form_of
from service.web.operation import AnyRequest, Handler
from service.web.problem_types import PROBLEM_TYPES

Page = Callable[[AnyRequest, Visitor], Coroutine[Any, Any, ASGIResponse]]
Action = Callable[[AnyRequest, Visitor, Form], Coroutine[Any, Any, ASGIResponse]]

_CONNECTIONS = 2  # of the console's own pool: whoever looks at pages takes none from the orders'
_STATEMENT_S = 5.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# A form's Origin is null under no-referrer, so the address of a page is told to this console alone instead.
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAID = "eo_console_said"
_FAILED = "Something failed here. The log names it by the id of this request."
_NOBODY = "Nobody has opened the console in this browser, or it was too long ago."
_READ_ONLY = "This console was opened to look. `eo console link --role operate` prints a link that opens it to act."
_NOT_OURS = "This form was not sent by a page of this console, or its page is of an older session. Load the page again."


@dataclass(slots=True)
class Console:
    """What the console's handlers of one process share."""

    engine: AsyncEngine
    access: Access
    doorway: Doorway
    settings: Settings
    readiness: ReadyCheck
    acts: Acts
    sampled: Sampled = field(default_factory=Sampled)
    feeds: dict[str, Feed] = field(default_factory=dict)

    @property
    def mode(self) -> Mode:
        """Where the money is taken."""
        return "sandbox" if self.settings.stripe_is_sandbox else "live" if self.settings.stripe_is_live else "test"

    def close(self) -> None:
        """End all streams, so that the process can stop."""
        for feed in self.feeds.values():
            feed.close()

    @property
    def cookie(self) -> str:
        """The name of the session's cookie. The prefix makes browsers refuse one that was set without TLS."""
        return "__Host-eo_console" if self.doorway.is_encrypted else "eo_console"


@dataclass(frozen=True, slots=True)
class Route:
    """A method of an address of the console. `nav` is its name in the list of pages, where it stands there."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    nav: str = ""
    chaos_only: bool = False


ROUTES: list[Route] = []


@asynccontextmanager
async def running(app: Litestar, settings: Settings, doorway: Doorway) -> AsyncIterator[None]:
    """The console's own resources, while the API runs."""
    engine = create_engine(settings, name="console", pool=_CONNECTIONS, statement_s=_STATEMENT_S)
    console = app.state["console"] = Console(
        engine, Access(engine), doorway, settings, app.state["resources"].readiness, Acts(engine)
    )
    try:
        yield
    finally:
        console.close()
        await console.acts.close()
        await close(engine)


def console_of(request: AnyRequest) -> Console:
    """What the console's handlers of this process share."""
    return request.app.state["console"]  # type: ignore[no-any-return]


def page(path: str, *, nav: str = "", chaos_only: bool = False) -> Callable[[Page], Page]:
    """Make the decorated handler a page, for whoever has opened the console. `nav` puts it into the list of pages."""

    def add(handler: Page) -> Page:
        async def answer(request: AnyRequest) -> ASGIResponse:
            visitor = await visitor_of(request)
            if visitor is None:
                return closed(request, _NOBODY)
            answer = await handler(request, visitor)
            if visitor.said is not None:
                set_cookie(request, answer, _SAID, "", max_age=0)
            return answer

        ROUTES.append(Route("GET", path, guarded(answer), nav, chaos_only))
        return handler

    return add


def action(path: str, *, chaos_only: bool = False) -> Callable[[Action], Action]:
    """Make the decorated handler the action of a plain form, for whoever may operate."""

    def add(handler: Action) -> Action:
        async def answer(request: AnyRequest) -> ASGIResponse:
            visitor = await visitor_of(request)
            if visitor is None:
                return closed(request, _NOBODY)
            form = await form_of(request)
            if not is_form_token(session_cookie(request), form.get("csrf", "")):
                return refused(request, _NOT_OURS, visitor)
            if not visitor.may_operate:
                return refused(request, _READ_ONLY, visitor)
            answer = await handler(request, visitor, form)
            if isinstance(answer, Back):
                set_cookie(request, answer, _SAID, sealed(session_cookie(request), answer.said), max_age=60)
            return answer

        ROUTES.append(Route("POST", path, guarded(answer), chaos_only=chaos_only))
        return handler

    return add


def show(visitor: Visitor | None, template: str, /, *, title: str, status: int = 200, **values: Any) -> ASGIResponse:
    """A page of this template."""
    nav = [
        (route.path, route.nav)
        for route in ROUTES
        if route.nav and (not route.chaos_only or (visitor is not None and visitor.has_chaos))
    ]
    body = render(template, visitor=visitor, title=title, nav=nav, made=datetime.now(UTC), **values)
    return ASGIResponse(body=body, status_code=status, media_type="text/html")


class Back(ASGIResponse):
    """The way to the page after an action. That page shows once what was done."""

    __slots__ = ("said",)

    def __init__(self, path: str, said: str) -> None:
        super().__init__(status_code=303, headers={"Location": path}, media_type="text/plain")
        self.said = said


def back(path: str, *, said: str) -> Back:
    """Go on to the page at `path` of the console, which shows once what was done."""
    return Back(path, said)


def closed(request: AnyRequest, says: str) -> ASGIResponse:
    """The answer where nobody has opened the console: how to do it."""
    # A browser leaves the cookie out where a link of another site leads here, and sends it from this page's own link.
    again = (
        request.scope["path"]
        if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"
        else ""
    )
    return show(None, "closed.html", title="The console is closed", status=401, says=says, again=again)


def refused(request: AnyRequest, says: str, visitor: Visitor | None = None, status: int = 403) -> ASGIResponse:
    """The answer to what is not done, with the reason."""
    title = HTTPStatus(status).phrase
    return show(
        visitor, "problem.html", title=title, status=status, says=says, request_id=problems.request_id(request.scope)
    )


async def visitor_of(request: AnyRequest) -> Visitor | None:
    """Whose session the request's cookie is of."""
    console, cookie = console_of(request), session_cookie(request)
    session = await console.access.session(cookie)
    if session is None:
        return None
    said = request.cookies.get(_SAID)
    return Visitor(
        session.actor,
        session.role,
        console.mode,
        request.scope["path"],
        form_token(cookie),
        None if said is None else unsealed(cookie, said),
        has_chaos=bool(console.settings.chaos_socket),
    )


def session_cookie(request: AnyRequest) -> str:
    """The session's cookie as the browser sent it; empty where it sent none."""
    return request.cookies.get(console_of(request).cookie, "")


def set_cookie(request: AnyRequest, answer: ASGIResponse, name: str, value: str, *, max_age: int) -> None:
    """Have the browser keep a cookie for the console alone, which no script can read."""
    encrypted = console_of(request).doorway.is_encrypted
    path = "/" if name.startswith("__Host-") else PATH
    kept = Cookie(
        name, path=path, value=value, max_age=max_age, secure=encrypted or None, httponly=True, samesite="strict"
    )
    answer.headers.add("Set-Cookie", kept.to_header(header=""))


def guarded(handler: Handler) -> Handler:
    """The handler behind the doorway, with the console's policy on its answer, and its errors as pages."""

    async def answer(request: AnyRequest) -> ASGIResponse:
        try:
            answer = _at_the_door(request) or await handler(request)
        except Exception as error:  # noqa: BLE001  judged there
            answer = _as_page(request, error)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    return answer


def _at_the_door(request: AnyRequest) -> ASGIResponse | None:
    doorway = console_of(request).doorway
    headers: dict[str, str] = {}
    for name, value in request.scope["headers"]:  # two of a kind are together none that is expected
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if (why := doorway.refuses(headers)) is not None:
        return refused(request, why, status=421)
    if request.method == "POST" and not doorway.is_own_form(headers):
        return refused(request, _NOT_OURS)
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:  # no text of PostgreSQL has it
        raise BadRequest("The address names nothing that there can be.", code="query-invalid")
    return None


def _as_page(request: AnyRequest, error: Exception) -> ASGIResponse:
    if isinstance(error, HTTPException):
        return refused(request, "The request cannot be understood.", status=error.status_code)
    problem = problems.as_problem(error, request.scope)
    says = problem.detail if problem.code != "internal-error" else _FAILED
    return refused(request, says, status=PROBLEM_TYPES[problem.code].status)
