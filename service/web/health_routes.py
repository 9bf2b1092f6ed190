"""The health of this process, for load balancers and orchestrators."""

from litestar.response.base import ASGIResponse

from service.web import body, examples
from service.web.health import Liveness, Readiness
from service.web.operation import Answer, AnyRequest, Group
from service.web.resources import resources_of

ROUTES = Group("health")


@ROUTES.operation("GET", "/health/live", {200: Answer(Liveness, {"it runs": examples.LIVE})})
async def live(request: AnyRequest) -> ASGIResponse:  # noqa: ARG001  the signature is the framework's
    """Whether the process runs."""
    return body.answer(Liveness())


@ROUTES.operation(
    "GET",
    "/health/ready",
    {
        200: Answer(Readiness, {"ok": examples.READY, "accepted, paid later": examples.DEGRADED}),
        503: Answer(Readiness, {"no order can be accepted": examples.UNAVAILABLE}),
    },
)
async def ready(request: AnyRequest) -> ASGIResponse:
    """Whether orders can be accepted, and paid."""
    health = await resources_of(request).readiness.ask()
    return body.answer(health, health.http_status)
