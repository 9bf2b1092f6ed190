"""Whom a run holds to the contract: the sandbox of this project, or Stripe's own test mode."""

from typing import Any

from tests.conformance.drivers.outcome import Target
from tests.sandbox.process import KEY, SandboxProcess

STRIPE = "https://api.stripe.com"


class Sandbox:
    """Our stand-in. Its control API completes what a customer, a network or a day would complete."""

    name = "the sandbox"
    patience_s = 10
    is_stripe = False

    def __init__(self, process: SandboxProcess) -> None:
        self._process = process
        self.target = Target(process.base, KEY)

    def control(self, path: str, body: dict[str, Any]) -> bool:
        """Do it; True because it can be done here."""
        self._process.control("POST", path, body)
        return True

    def calm(self) -> None:
        """Take back what a case has set. The clock stays where it is."""
        self._process.calm()


class Stripe:
    """Stripe's test mode. It has no control API."""

    name = "Stripe's test mode"
    patience_s = 60
    is_stripe = True

    def __init__(self, key: str) -> None:
        self.target = Target(STRIPE, key)

    def control(self, _path: str, _body: dict[str, Any]) -> bool:
        """False: nobody can do that here."""
        return False

    def calm(self) -> None:
        """Nothing was set."""


Anyone = Sandbox | Stripe
