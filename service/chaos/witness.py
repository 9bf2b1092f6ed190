"""The sandbox's control API: its own books of what was charged, and its fault plans."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

_CALL_S, _AGE_S = 2.0, 30.0  # the sandbox is on this machine; it may have much to make older
Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Witness:
    """A sandbox by its address and the secret of its control API. Each call raises OSError where it fails."""

    address: str
    secret: str = field(repr=False)

    def charges(self, order: str) -> list[str]:
        """The PaymentIntents by which money was taken for this order: one for each time."""
        found: list[str] = self._call("GET", f"truth?order={order}")["payment_intents"]
        return found

    def totals(self) -> Mapping[str, Any]:
        """What was charged in all: `charges_succeeded`, `orders_charged`, `orders_charged_twice`, `replays`, …."""
        found: Mapping[str, Any] = self._call("GET", "truth")
        return found

    def plant(self, name: str, rules: Sequence[Rule]) -> None:
        """Put a fault plan of this name in force, beside all others."""
        self._call("POST", f"faults/{name}", {"rules": list(rules)})

    def struck(self, name: str) -> list[Mapping[str, int]]:
        """For each rule of the plan, how many requests or events it has `matched`, and how often it has `fired`."""
        found: list[Mapping[str, int]] = self._call("GET", f"faults/{name}")["rules"]
        return found

    def uproot(self, name: str) -> None:
        """End the plan of this name; a sandbox that was started again has forgotten it already."""
        self._call("DELETE", f"faults/{name}", known=(200, 404))

    def age(self, seconds: int) -> None:
        """Make all that is stored there so many seconds older. Refunds stay: the books name their moments."""
        self._call("POST", "age", {"seconds": seconds, "refunds": False}, within_s=_AGE_S)

    def _call(
        self, method: str, path: str, body: object = None, *, known: Sequence[int] = (200,), within_s: float = _CALL_S
    ) -> Any:
        where = urlsplit(self.address)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=within_s)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, f"/_sandbox/{path}", sent, {"Authorization": f"Bearer {self.secret}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in known:
                raise OSError(f"the sandbox answered {answer.status} to {method} {path}")
            return json.loads(text)
        except (HTTPException, ValueError) as error:
            raise OSError(f"{method} {path}: {error}") from error
        finally:
            connection.close()
