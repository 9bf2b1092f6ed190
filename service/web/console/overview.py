"""The front page: whether the money agrees, and what moves."""

from litestar.response.base import ASGIResponse

from service.console import Visitor
from service.web.console.frame import page, show
from service.web.operation import AnyRequest


@page("/console", nav="Overview")
async def overview(request: AnyRequest, visitor: Visitor) -> ASGIResponse:  # noqa: ARG001  the signature is the frame's
    """The front page."""
    return show(visitor, "overview.html", title="Overview")
