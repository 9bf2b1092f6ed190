"""What the protocol does not know of an effect: its table, request, words and bookings. Each kind of effect says it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol
from uuid import UUID

from service.effects.model import E, Outcome, Settlement
from service.effects.reading import KnownEffect
from service.effects.request import LockedRow, Request
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.settings import Settings
from service.stripe_gateway.objects import Answer


class Stripe(Protocol):
    """The calls about one object that a kind makes; `service.stripe_gateway.client.StripeGateway` has them."""

    async def create_payment_intent(self, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        """POST a charge; its turn was taken together with those of its message. Never raises."""
        ...

    async def post(self, path: str, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        """POST what is asked of a payment that exists, in its turn. Never raises."""
        ...

    async def get_payment_intent(self, intent_id: str) -> Answer:
        """The PaymentIntent as it is now. Never raises."""
        ...

    async def get_refund(self, refund_id: str) -> Answer:
        """The refund as it is now. Never raises."""
        ...


class Kind(ABC, Generic[E]):
    """A kind of effect. It brings its request, its transitions and its bookings; the protocol is the same for all."""

    final: frozenset[str]  # its states in which nothing is left to do
    take_over: Statement[Any]  # made by `reopening.take_over_sql`
    renew: Statement[Any]  # made by `leasing.renew_sql`
    drop: Statement[Any] | None = None  # made by `reopening.drop_sql`, where it may be unwanted

    # Opening.

    @abstractmethod
    async def known(self, tx: Connection, rows: Sequence[LockedRow]) -> Mapping[UUID, KnownEffect]:
        """What is stored of the effects that these outbox rows owe, by the row's id."""

    @abstractmethod
    def effect(self, row: LockedRow, known: KnownEffect, **of_effect: Any) -> E:
        """The effect as a worker holds it: what all have in common is given, the kind adds its own."""

    @abstractmethod
    def request(self, row: LockedRow, known: KnownEffect) -> Request:
        """What is sent for it, as this version of ours makes it."""

    @abstractmethod
    def key(self, row: LockedRow, known: KnownEffect) -> str:
        """The key that Stripe is sent (R1)."""

    def new(self, row: LockedRow, settings: Settings) -> E | None:  # noqa: ARG002  most are made when they are asked for
        """The effect of a row that has none yet; None where nothing is owed for such a row any more."""
        return None

    async def insert(
        self,
        tx: Connection,  # noqa: ARG002  only charges are made when they are opened
        effects: list[E],  # noqa: ARG002
        settings: Settings,  # noqa: ARG002
        *,
        alone: bool,  # noqa: ARG002
    ) -> tuple[list[E], list[tuple[UUID, str]]]:
        """Store new effects; returns those that are stored, and for each that is not its outbox row and the reason."""
        return [], []

    def is_wanted(self, row: LockedRow) -> bool:  # noqa: ARG002  most kinds are wanted whatever their order says
        """Whether it may still be sent. One that is not is only searched at Stripe."""
        return True

    # Asking.

    @abstractmethod
    async def send(self, stripe: Stripe, effect: E) -> Answer:
        """Post the stored request under its key."""

    @abstractmethod
    async def retrieve(self, stripe: Stripe, effect: E) -> tuple[Answer, Outcome]:
        """Ask for the object that shows what became of it; the answer, and what it means."""

    @abstractmethod
    def spoken(self, effect: E, answer: Answer) -> Outcome | None:
        """What Stripe's own word about the key means: a 200 or 402. None where it says nothing that can be read."""

    @abstractmethod
    def refused(self, effect: E, answer: Answer) -> Outcome | None:
        """What a 400 or 404 to a first send means where it is about this very effect; None: it is not."""

    # Settling.

    @abstractmethod
    async def record(self, tx: Connection, settlements: Sequence[Settlement[E]], settings: Settings) -> set[UUID]:
        """Store what came back, move the order and book; returns the ids of the effects that changed."""


Kinds = Mapping[str, Kind[Any]]
