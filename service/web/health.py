"""The health of this process, for load balancers and orchestrators."""

from typing import Literal

from litestar.response.base import ASGIResponse
from msgspec import Struct

from service.monitoring import Readiness
from service.web import body, examples
from service.web.operation import Answer, AnyRequest, Group
from service.web.resources import resources_of

ROUTES = Group("health")


class Liveness(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


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
    return body.answer(health, status_of(health))


def status_of(health: Readiness) -> int:
    """503 where a POST would not be confirmed, else 200, so that load balancers keep a process that accepts orders."""
    return 503 if health.status == "unavailable" else 200
