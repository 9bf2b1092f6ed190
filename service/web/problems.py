"""Every error answer in one shape (RFC 9457), and the request id on every answer.

Errors that Litestar raises by itself (404, 405, 413, …) and unexpected ones (500) are answered in the same shape. An
answer never repeats what was sent, and neither does a line of the log.
"""

import re
from typing import Any

import uuid_utils
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope

from service.foundation import log
from service.foundation.errors import Forbidden, Problem, Unauthorized, Unavailable
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.foundation.text.secrets import scrubbed
from service.web.body import encode
from service.web.problem_types import ProblemBody

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_CHALLENGE = 'Bearer realm="effectively-once"'
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

# For the statuses of Litestar's own errors: code and detail.
_FRAMEWORK = {
    400: ("bad-request", "The request cannot be understood."),
    404: ("not-found", "There is nothing at this address."),
    405: ("method-not-allowed", "This address does not take this method; see the Allow header."),
    413: ("content-too-large", "The body is too large: 64 KiB; 2 MiB for a batch, 512 KiB for an event."),
}
_INTERNAL = ("internal-error", "Something failed here. Repeating with the same key is safe.")


def request_id(scope: Scope) -> str:
    """The id of this request: the caller's X-Request-Id where it is well-formed and harmless, or one of ours."""
    state: dict[str, Any] = scope["state"]
    if "eo_request_id" not in state:
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        may_be_kept = _REQUEST_ID.fullmatch(sent) and scrubbed(sent.decode()) == sent.decode()
        state["eo_request_id"] = sent.decode() if may_be_kept else f"req_{uuid_utils.uuid7().hex}"
    return state["eo_request_id"]  # type: ignore[no-any-return]


async def add_request_id(message: Message, scope: Scope) -> None:
    """A `before_send` hook, which Litestar also calls for the answers that it makes itself."""
    if message["type"] == "http.response.start":
        scope["state"]["eo_status"] = message["status"]  # for the request log
        message["headers"] = [*message["headers"], (b"x-request-id", request_id(scope).encode())]


def body_of(problem: Problem, id_of_request: str) -> ProblemBody:
    """The body of the answer to a problem."""
    return ProblemBody.of(problem.code, problem.detail, id_of_request)


def on_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """The answer to an error that this code raised on purpose."""
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if isinstance(problem, Unauthorized):
        headers["WWW-Authenticate"] = _CHALLENGE
    if isinstance(problem, Forbidden):  # RFC 6750, 3.1
        headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="insufficient_scope", scope="{problem.scope}"'
    return _response(body_of(problem, request_id(request.scope)), headers)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The answer to an error that Litestar raised, without its text, which may repeat what was sent."""
    status = error.status_code if error.status_code in _FRAMEWORK else (400 if error.status_code < 500 else 500)
    code, detail = _FRAMEWORK.get(status, _INTERNAL)
    allowed = (error.headers or {}).get("allow")
    return _response(
        ProblemBody.of(code, detail, request_id(request.scope)),
        {"Allow": allowed} if allowed else {},
    )


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to any other error."""
    return on_problem(request, as_problem(error, request.scope))


def as_problem(error: BaseException, scope: Scope) -> Problem:
    """The error itself where it is a problem; else `unavailable`, or `internal-error` and a line of the log."""
    if isinstance(error, Problem):
        return error
    if is_unreachable(error):
        return Unreachable(
            "PostgreSQL is away. Try again; for an order, with the same key.", retry_after_s=RETRY_AFTER_S
        )
    log.event(Event.REQUEST_FAILED, request_id=request_id(scope), **log.of_error(error))
    return Problem(_INTERNAL[1])


class Unreachable(Problem):
    """PostgreSQL could not be asked for a read or for the check of a key."""

    code = "unavailable"


HANDLERS: dict[int | type[Exception], Any] = {
    Problem: on_problem,
    HTTPException: on_http_exception,
    Unavailable: on_exception,
    Exception: on_exception,
}


def _response(body: ProblemBody, headers: dict[str, str]) -> Response[bytes]:
    return Response(encode(body), status_code=body.status, headers=headers, media_type=MEDIA_TYPE)
