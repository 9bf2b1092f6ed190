"""The door's rivals, served by the door's own process: the same server, the same key check, the same body validation.

`python -m benchmarks.rivals` runs the product's application with three routes more, so that each comparison is made
within one process:

POST /bench/noop   no database: what the server, the key check and the validation cost
POST /bench/bare   one statement, one transaction, per request: no batch, so no waiting for one
POST /bench/orm    the usual way: mapped classes, a session and a transaction per request
"""

from datetime import UTC, datetime
from typing import Any

from litestar import HttpMethod, Litestar, Router, route
from litestar.response.base import ASGIResponse
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase
from uuid_utils.compat import uuid7

from service import orders
from service.foundation import log
from service.foundation.garbage import collect_rarely
from service.foundation.postgres import schema
from service.foundation.settings import Settings
from service.orders import Order, OrderRequest, check_order
from service.orders.identity import fingerprint
from service.orders.keys import key_of_headers
from service.web import body, create_app
from service.web.app import Server
from service.web.auth import Authentication, caller_of
from service.web.operation import AnyRequest
from service.web.resources import resources_of

_STORED = Order(
    id="0193a5f0-0000-7000-8000-000000000000",
    status="pending",
    amount=1999,
    currency="usd",
    payment_method="pm_card_visa",
    customer=None,
    description=None,
    metadata={"cart": "17"},
    idempotency_key="k" * 24,
    capture="automatic",
    amount_captured=0,
    amount_refunded=0,
    amount_disputed=0,
    payment_intent=None,
    failure=None,
    created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC),
)


class Base(DeclarativeBase):
    """Classes mapped onto the product's own tables."""


class StoredOrder(Base):
    """A row of `orders`."""

    __table__ = schema.orders
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  SQLAlchemy's own spelling
    metadata_ = schema.orders.c.metadata  # the plain name is SQLAlchemy's


class Promise(Base):
    """A row of `outbox`."""

    __table__ = schema.outbox


@route("/noop", http_method=HttpMethod.POST)
async def noop(request: AnyRequest) -> ASGIResponse:
    """Answer a fixed order after all checks of the request, without the database."""
    await _read(request)
    return body.answer(_STORED, 201, {"Location": f"/v1/orders/{_STORED.id}"})


@route("/bare", http_method=HttpMethod.POST)
async def bare(request: AnyRequest) -> ASGIResponse:
    """The door's own statement, once per request."""
    key, order = await _read(request)
    candidate = orders.Candidate.of(caller_of(request).account_id, key, order)
    placed = (await orders.place(resources_of(request).engine, [candidate]))[0]
    if not isinstance(placed, orders.Placed):
        raise placed
    return body.answer(placed.order, 201, {"Location": f"/v1/orders/{placed.order.id}"})


@route("/orm", http_method=HttpMethod.POST)
async def through_orm(request: AnyRequest) -> ASGIResponse:
    """Store the order with a session per request; a violated unique key means that it is a repeat."""
    key, order = await _read(request)
    candidate = orders.Candidate.of(caller_of(request).account_id, key, order)
    engine = resources_of(request).engine
    async with AsyncSession(engine, expire_on_commit=False) as session:
        row = _row(candidate)
        session.add(row)
        session.add(Promise(id=_uuid(), account_id=candidate.account_id, order_id=row.id, kind="charge"))
        try:
            await session.commit()
        except IntegrityError:
            await session.rollback()
            shown = (await orders.place(engine, [candidate]))[0]
            if not isinstance(shown, orders.Placed):
                raise shown from None
            return body.answer(shown.order, 201)
    return body.answer(_shown(row), 201, {"Location": f"/v1/orders/{row.id}"})


def application(settings: Settings) -> Litestar:
    """The product's application and the rivals' routes."""
    app = create_app(settings)
    app.register(Router("/bench", route_handlers=[noop, bare, through_orm], middleware=[Authentication()]))
    return app


def main() -> None:
    """Serve until SIGTERM."""
    log.configure("api")
    settings = Settings.from_env()
    app = application(settings)
    collect_rarely()  # as the product does: all routes profit
    Server(app, settings).run()


async def _read(request: AnyRequest) -> tuple[str, OrderRequest]:
    """As `service.web.orders.create_order` begins."""
    key = key_of_headers(request.scope["headers"])
    order = await body.read(request, OrderRequest)
    check_order(order, key)
    return key, order


def _uuid() -> Any:
    return uuid7()


def _row(candidate: orders.Candidate) -> Any:
    request = candidate.request
    return StoredOrder(
        id=_uuid(),
        account_id=candidate.account_id,
        idempotency_key=candidate.key,
        fingerprint=fingerprint(request),
        amount_minor=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        metadata_=request.metadata,
    )


def _shown(row: Any) -> Order:
    return Order(
        id=str(row.id),
        status=row.status,
        amount=row.amount_minor,
        currency=row.currency,
        payment_method=row.payment_method,
        customer=row.customer,
        description=row.description,
        metadata=row.metadata_,
        idempotency_key=row.idempotency_key,
        capture=row.capture,
        amount_captured=0,
        amount_refunded=row.amount_refunded_minor,
        amount_disputed=row.amount_disputed_minor,
        payment_intent=row.payment_intent_id,
        failure=row.failure,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


if __name__ == "__main__":
    main()
