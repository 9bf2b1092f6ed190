"""The naive service's tables as mapped classes, and its engine."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, func, make_url, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7


def engine_of(url: str, **pool: int) -> AsyncEngine:
    """A SQLAlchemy engine with its defaults, on asyncpg."""
    return create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), **pool)


class Base(DeclarativeBase):
    """Tables of the naive service."""

    type_annotation_map = {dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012  SQLAlchemy's own


class Order(Base):
    """What was asked for."""

    __tablename__ = "orders"
    __table_args__ = (Index("orders_pending", "status", postgresql_where=text("status = 'pending'")),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    payment_method: Mapped[str]
    details: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default="pending")
    payment_intent_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Charge(Base):
    """What was sent to Stripe, and what came back."""

    __tablename__ = "charges"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    status: Mapped[str] = mapped_column(default="sending")
    payment_intent_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Entry(Base):
    """A journal entry."""

    __tablename__ = "journal_entries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    reference: Mapped[str] = mapped_column(unique=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    postings: Mapped[list["Posting"]] = relationship()


class Posting(Base):
    """One leg of an entry."""

    __tablename__ = "postings"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("journal_entries.id"), index=True)
    account: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
