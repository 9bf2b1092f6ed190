"""The small language of the cases: a case is a name and steps, and a step says what is called and what must come back.

`Do`        one call, its answer remembered under the step's name
`Together`  the same call several times at once, with one key
`Control`   one call of the sandbox's control API; Stripe has none, so there a case ends before it, unless it only helps
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from tests.conformance.calls import Call, CreateIntent, Single
from tests.conformance.expectations import Expectations, OneOf


@dataclass(frozen=True)
class Refusal:
    """An error as the SDK raises it. `kind` is its class, without the word Stripe that Node puts before it."""

    kind: str
    status: int | OneOf
    code: Any = None
    decline_code: Any = None
    param: Any = None
    message: Any = None

    def expectations(self) -> Expectations:
        """What must be read from the error. What the case does not say is free."""
        return {part.name: getattr(self, part.name) for part in fields(self) if getattr(self, part.name) is not None}


@dataclass(frozen=True)
class Do:
    """One call. `expect` reads the object, or the error's JSON when a refusal is expected.

    In an expectation `{this.…}` is this very answer, and `{this.request_id}` the id that the SDK shows for it. `find`
    reduces a list to its first item with that value at that path. `patient`: what is expected may take a while to
    appear, so the call is repeated. `noted`: nobody but Stripe knows the answer; it is only written down.
    """

    name: str
    call: Call
    expect: Expectations = field(default_factory=dict)
    headers: Expectations = field(default_factory=dict)
    refused: Refusal | None = None
    key: str | None = None
    api_key: str | None = None
    version: str | None = None
    find: tuple[str, str] | None = None
    patient: bool = False
    noted: bool = False


@dataclass(frozen=True)
class Together:
    """`times` equal calls at once.

    The answer has what differs among theirs, sorted: `http` statuses, `id`s, and of errors `kind`, `code` and
    `should_retry`, which is the header.
    """

    name: str
    call: Single
    key: str
    expect: Expectations
    times: int = 3


@dataclass(frozen=True)
class Control:
    """POST to `/_sandbox/…`. `only_helps`: at Stripe the case goes on without it."""

    path: str
    body: dict[str, Any]
    only_helps: bool = False

    @property
    def name(self) -> str:
        return f"control {self.path}"


Step = Do | Together | Control


@dataclass(frozen=True)
class Case:
    """A promise and the steps that hold Stripe, or who claims to be Stripe, to it.

    `sandbox_lacks` says what the sandbox does not do yet: there the case must differ, and is left out.
    `stripe_lacks` says what Stripe's test mode has nothing for: there the case is left out.
    """

    name: str
    steps: Sequence[Step]
    sandbox_lacks: str | None = None
    stripe_lacks: str | None = None


def number(reference: str) -> int:
    """A reference where the SDK's types want an integer."""
    return cast("int", reference)


def ill_typed(params: object) -> Any:
    """Parameters that the SDK's types refuse, for cases in which Stripe must refuse them too."""
    return params


def pay(card: str = "pm_card_visa") -> CreateIntent:
    """Create and confirm in one call, no redirects wanted."""
    return CreateIntent(
        {
            "amount": 1999,
            "currency": "usd",
            "payment_method": card,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "confirm": True,
        }
    )


def hold(card: str = "pm_card_visa") -> CreateIntent:
    """The card only holds the money, for a later capture."""
    return CreateIntent({**pay(card).params, "capture_method": "manual", "expand": ["latest_charge"]})


def create() -> CreateIntent:
    """Create only: nothing is charged."""
    return CreateIntent(
        {
            "amount": 1999,
            "currency": "usd",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
