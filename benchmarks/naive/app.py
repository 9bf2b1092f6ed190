"""The naive service's API: `python -m benchmarks.naive.app`, on the same HTTP server as the product's."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import uvicorn
from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import HeaderParameter
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from benchmarks.naive.models import Base, Order, engine_of
from benchmarks.naive.worker import charge_order
from service.foundation.settings import Settings


class OrderRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    amount: Annotated[int, msgspec.Meta(ge=1)]
    currency: Annotated[str, msgspec.Meta(pattern="^[a-z]{3}$")]
    payment_method: str
    metadata: dict[str, str] = {}


class OrderShown(msgspec.Struct):
    """The answer."""

    id: str
    status: str
    amount: int
    currency: str
    idempotency_key: str


@post("/v1/orders")
async def create_order(
    request: Request[Any, Any, Any],
    data: OrderRequest,
    idempotency_key: Annotated[str, HeaderParameter(name="Idempotency-Key")],
) -> OrderShown:
    """Store the order, send its message, answer."""
    _authenticate(request)
    sessions: async_sessionmaker[AsyncSession] = request.app.state["sessions"]
    async with sessions() as session:
        order = Order(
            idempotency_key=idempotency_key,
            amount_minor=data.amount,
            currency=data.currency,
            payment_method=data.payment_method,
            details=data.metadata,
            payment_intent_id=None,
        )
        session.add(order)
        try:
            await session.commit()
        except IntegrityError:
            await session.rollback()
            order = (await session.scalars(select(Order).filter_by(idempotency_key=idempotency_key))).one()
        else:
            charge_order.send(str(order.id))
    return OrderShown(str(order.id), order.status, order.amount_minor, order.currency, order.idempotency_key)


@get("/health/ready")
async def ready() -> dict[str, str]:
    """Answer 200, so that the benchmark knows that the process runs."""
    return {"status": "ok"}


def _authenticate(request: Request[Any, Any, Any]) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given, request.app.state["api_key"]):
        raise NotAuthorizedException


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings.from_env()

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        engine = engine_of(settings.database_url, pool_size=8, max_overflow=8)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        app.state["sessions"] = async_sessionmaker(engine, expire_on_commit=False)
        app.state["api_key"] = settings.api_key
        yield
        await engine.dispose()

    app = Litestar([create_order, ready], lifespan=[running], openapi_config=None, logging_config=None)
    uvicorn.run(app, port=settings.port, loop="uvloop", http="httptools", access_log=False, log_config=None)


if __name__ == "__main__":
    main()
