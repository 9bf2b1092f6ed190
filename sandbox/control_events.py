"""The part of the control API that is about events and their deliveries; `control.py` lists it with the rest."""

import re

import msgspec

from sandbox import delivering, destinations
from sandbox.errors import no_such
from sandbox.objects import Json
from sandbox.state import Sandbox

_EVENT = re.compile(r"events/(\w+)/(deliveries|resend)")
_ROLL = re.compile(r"(?:webhook_endpoints|event_destinations)/(\w+)/roll")
DAY_S = 86_400


class Retries(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds before the second try of a delivery; each further pause is twice as long."""

    retry_s: float


class Roll(msgspec.Struct, forbid_unknown_fields=True):
    """How long the secret before signs too; Stripe allows a day at most."""

    overlap_s: float = 0


def handle(sandbox: Sandbox, method: str, name: str, body: bytes) -> Json | None:
    """Do what is asked; None where it is not about events."""
    about, rolled = _EVENT.fullmatch(name), _ROLL.fullmatch(name)
    if method == "POST" and rolled:
        return _roll(sandbox, rolled[1], body)
    if about and (method, about[2]) == ("GET", "deliveries"):
        return {"deliveries": delivering.report(sandbox, about[1])}
    if about and (method, about[2]) == ("POST", "resend"):
        return {"sent": delivering.resend(sandbox, about[1])}
    if (method, name) == ("POST", "deliveries"):
        sandbox.retry_s = _retries(body)
        return {"retry_s": sandbox.retry_s}
    if (method, name) == ("POST", "deliveries/flush"):
        return {"due": delivering.flush(sandbox)}
    if (method, name) == ("GET", "deliveries"):
        return delivering.counts(sandbox)
    return None


def _retries(body: bytes) -> float:
    wanted = msgspec.json.decode(body, type=Retries).retry_s
    if wanted < 0:
        raise ValueError("a pause is not negative")
    return wanted


def _roll(sandbox: Sandbox, destination_id: str, body: bytes) -> Json:
    wanted = msgspec.json.decode(body, type=Roll)
    if not 0 <= wanted.overlap_s <= DAY_S:
        raise ValueError(f"the secret before signs for 0 to {DAY_S} s more")
    found = destinations.find(sandbox.store, destination_id)
    if found is None:
        raise no_such("destination", destination_id, "id")
    return {"id": found.id, "secret": destinations.roll(sandbox, found, wanted.overlap_s)}
