"""What every client under test must be able to do, and how it tells what came back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.conformance.calls import Request

TIMEOUT_S = 60


@dataclass(frozen=True)
class Target:
    """An implementation of Stripe's API."""

    address: str
    key: str


@dataclass(frozen=True)
class Versions:
    """Which client this is."""

    sdk: str
    api: str
    runtime: str


@dataclass(frozen=True)
class Outcome:
    """An answer as a client's user sees it.

    `body` is the object, or the JSON error; `error` is what the SDK's exception says: kind, status, code,
    decline_code, param, message. `headers` have lower-case names.
    """

    status: int
    body: Any
    headers: dict[str, str]
    request_id: str | None
    error: dict[str, Any] | None


class Driver(Protocol):
    """One client. All requests given at once are made at once."""

    name: str

    def versions(self) -> Versions:
        """The SDK's and the runtime's versions, and the API version it asks for by default."""

    def perform(self, wanted: Sequence[Request]) -> list[Outcome]:
        """Make the requests and return what came back, in their order."""

    def close(self) -> None:
        """Give everything back."""
