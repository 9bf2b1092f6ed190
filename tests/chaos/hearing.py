"""Stripe tells the API processes of a fleet what happened there; each has an endpoint.

Every event is sent to all of them, so that two processes store the same one at the same moment.
"""

from collections.abc import Sequence

from service.stripe_gateway.events import EVENT_TYPES
from tests.acceptance.fleet import Fleet
from tests.chaos.bank import ask_stripe

NOBODY = "http://127.0.0.1:9/"


class Hearing:
    """Endpoints at the sandbox. Made before the processes start, which are told the secrets; then their addresses."""

    def __init__(self, fleet: Fleet, processes: int) -> None:
        self._fleet = fleet
        made = [self._make(n) for n in range(processes)]
        self._ids = [one for one, _ in made]
        fleet.told["STRIPE_WEBHOOK_SECRET"] = ",".join(secret for _, secret in made)

    def begin(self, addresses: Sequence[str]) -> None:
        """From now on the API processes at these addresses are told."""
        for endpoint, address in zip(self._ids, addresses, strict=True):
            moved = {"url": f"{address}/v1/stripe/events"}
            answer = ask_stripe(self._fleet, "POST", f"webhook_endpoints/{endpoint}", moved, f"begin-{endpoint}")
            assert answer.status == 200, answer

    def _make(self, n: int) -> tuple[str, str]:
        form = {"url": NOBODY} | {f"enabled_events[{i}]": kind for i, kind in enumerate(EVENT_TYPES)}
        answer = ask_stripe(self._fleet, "POST", "webhook_endpoints", form, f"endpoint-{n}")
        assert answer.status == 200, answer
        return answer.body["id"], answer.body["secret"]
