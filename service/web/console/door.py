"""Opening the console by a link, signing out, and the files that its pages load.

A preview of a message, or a browser that loads ahead, may fetch the link's address. So that shows a page with one
button, and the button uses the link up.
"""

from litestar.response.base import ASGIResponse

from service.console.access import SESSION_S, is_form_token
from service.console.doorway import PATH
from service.console.rendering import static_file
from service.foundation.errors import NotFound
from service.web.console.forms import form_of
from service.web.console.frame import (
    ROUTES,
    Route,
    closed,
    console_of,
    guarded,
    refused,
    session_cookie,
    set_cookie,
    show,
)
from service.web.operation import AnyRequest

_USED = "This link was used before, or it is too old, or it was cut off."
_SIGNED_OUT = "You are signed out."
_NOT_OURS = "This button was not on a page of your session. Load the page again."


async def _ask(request: AnyRequest) -> ASGIResponse:
    """A page with the button that uses the link up."""
    return show(None, "open.html", title="Open the console", link=request.query_params.get("link", ""))


async def _open(request: AnyRequest) -> ASGIResponse:
    """Use the link up, and begin a session."""
    console = console_of(request)
    cookie = await console.access.open((await form_of(request)).get("link", ""))
    if cookie is None:
        return closed(request, _USED)
    answer = ASGIResponse(status_code=303, headers={"Location": PATH}, media_type="text/plain")
    set_cookie(request, answer, console.cookie, cookie, max_age=SESSION_S)
    return answer


async def _close(request: AnyRequest) -> ASGIResponse:
    """End the session. Whoever may only look may end it too, so this is no `@action`."""
    console, cookie = console_of(request), session_cookie(request)
    if not is_form_token(cookie, (await form_of(request)).get("csrf", "")):
        return refused(request, _NOT_OURS)
    await console.access.end(cookie)
    answer = closed(request, _SIGNED_OUT)
    answer.status_code = 200
    set_cookie(request, answer, console.cookie, "", max_age=0)
    return answer


async def _file(request: AnyRequest) -> ASGIResponse:
    """A file that pages load. It has no secrets, and the page of whoever has no session needs it too."""
    found = static_file(request.scope["path_params"]["name"])
    if found is None:
        raise NotFound("There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return ASGIResponse(body=found[0], headers=headers, media_type=found[1])


ROUTES += [
    Route("GET", "/console/open", guarded(_ask)),
    Route("POST", "/console/open", guarded(_open)),
    Route("POST", "/console/close", guarded(_close)),
    Route("GET", "/console/static/{name:str}", guarded(_file)),
]
