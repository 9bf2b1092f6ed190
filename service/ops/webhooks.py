"""The endpoint that `eo up` has at its sandbox: registered once and kept, so that the API hears of events."""

import json
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from service.ops.embedded import write_private
from service.stripe_gateway import paths
from service.stripe_gateway.events import EVENT_TYPES

ENDPOINT_FILE = "webhook.json"
EVENTS_PATH = "/v1/stripe/events"
_CALL_S = 5.0


class Endpoint(NamedTuple):
    """What is kept of it: only its first answer shows the secret."""

    id: str
    secret: str


def registered(folder: Path, *, stripe: str, key: str, api: str) -> str | None:
    """The secret of the endpoint at this sandbox, for the events of an API at that address; None where it has none.

    Raises OSError where the sandbox does not answer.
    """
    kept = _kept(folder / ENDPOINT_FILE)
    url = api + EVENTS_PATH
    if kept is not None and _call(
        stripe, key, f"{paths.WEBHOOK_ENDPOINTS}/{kept.id}", [("url", url), ("disabled", "false")]
    ):
        return kept.secret
    wanted = [("url", url), *(("enabled_events[]", event) for event in EVENT_TYPES)]
    made = _call(stripe, key, paths.WEBHOOK_ENDPOINTS, wanted)
    if made is None:
        return None
    endpoint = Endpoint(str(made["id"]), str(made["secret"]))
    write_private(folder / ENDPOINT_FILE, json.dumps(endpoint._asdict(), indent=2) + "\n")
    return endpoint.secret


def _kept(path: Path) -> Endpoint | None:
    try:
        return Endpoint(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it is made anew


def _call(stripe: str, key: str, path: str, form: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
    """The object that a POST answers with; None where it is refused."""
    where = urlsplit(stripe)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=_CALL_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("POST", path, urlencode(form), headers)
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
    except (HTTPException, ValueError) as error:
        raise OSError(f"POST {path}: {error}") from error
    else:
        return found if answer.status == 200 else None
    finally:
        connection.close()
