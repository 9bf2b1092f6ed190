"""Stripe's API without Stripe's client: for what a typed client would not send."""

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from tests.sandbox.process import KEY

LIMIT = "The sandbox does not do "


class Answer(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> Any:
        """The error object; empty for a success."""
        return self.body.get("error", {})

    @property
    def is_limit(self) -> bool:
        """Whether the sandbox says that this is a limit of its own."""
        message: str = self.error.get("message", "")
        return message.startswith(LIMIT) and message.endswith(" yet.")


class Connection:
    """One kept-alive connection to a sandbox."""

    def __init__(self, base: str, key: str = KEY) -> None:
        self._http = http.client.HTTPConnection(base.removeprefix("http://"), timeout=30)
        self._authorization = {"Authorization": f"Bearer {key}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, path: str, params: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Send nested parameters as Stripe's clients do: in the query or the body, as JSON to the second API."""
        text = urlencode(list(flat(params or {})))
        form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        if method == "POST" and path.startswith("/v2/"):
            text, form = json.dumps(params or {}), {"Content-Type": "application/json"}
        target = path if method == "POST" or not text else f"{path}?{text}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw(method, target, text.encode() if method == "POST" else None, form | named)

    def raw(self, method: str, target: str, body: bytes | None, headers: dict[str, str] | None = None) -> Answer:
        """Send these very bytes."""
        self._http.request(method, target, body, self._authorization | (headers or {}))
        answer = self._http.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, json.loads(answer.read()))


def flat(params: dict[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    """`{"a": {"b": [1]}}` as `a[b][0]=1`."""
    for name, value in params.items():
        path = f"{inside}[{name}]" if inside else name
        if isinstance(value, dict):
            yield from flat(value, path)
        elif isinstance(value, list):
            yield from flat({str(place): item for place, item in enumerate(value)}, path)
        else:
            yield path, str(value).lower() if isinstance(value, bool) else str(value)
