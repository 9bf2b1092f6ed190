"""A client of the control API: sets faults, clock and latency, and reads what was charged."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

_CALL_S = 20.0


class Remote:
    """A sandbox by its address and the secret of its control API. Each call raises OSError where it fails."""

    def __init__(self, address: str, secret: str) -> None:
        self.address = address
        self._secret = secret

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one call, for instance POST clock; returns the answer. Raises OSError for any status but 200."""
        where = urlsplit(self.address)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=_CALL_S)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, f"/_sandbox/{path}", sent, {"Authorization": f"Bearer {self._secret}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise OSError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
            return json.loads(text)
        except (HTTPException, ValueError) as error:
            raise OSError(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def truth(self, order: str = "", *, per_order: bool = False) -> Any:
        """What was charged, by the witness table: for one order, for each order, or the totals."""
        query = f"?order={order}" if order else "?per=order" if per_order else ""
        return self.call("GET", f"truth{query}")
