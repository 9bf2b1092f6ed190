"""A Stripe that refuses: it stands before the sandbox, and answers with an error what a test wants refused."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import urlsplit

UNKNOWN_PARAMETER = {
    "type": "invalid_request_error",
    "code": "parameter_unknown",
    "param": "payment_method_types",
    "message": "Received unknown parameter: payment_method_types",
}
_numbers = count(1)


def everything(_method: str, _form: str) -> bool:
    return True


def sends(method: str, _form: str) -> bool:
    """The requests that charge; identification goes through."""
    return method == "POST"


@dataclass
class RefusingStripe:
    """Stripe's address for a service under test. `refuses` tells which requests get `error` instead of an answer."""

    sandbox: str
    error: dict[str, Any] = field(default_factory=lambda: dict(UNKNOWN_PARAMETER))
    status: int = 400
    refuses: Callable[[str, str], bool] | None = None
    base: str = ""
    posts: int = 0
    refused: int = 0

    def __enter__(self) -> Self:
        stripe = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, headers, answer = stripe.answer(self.command, self.path, dict(self.headers), body)
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_any  # noqa: N815  the names of http.server

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The refusal, or what the sandbox says."""
        self.posts += method == "POST"
        if self.refuses is not None and self.refuses(method, body.decode()):
            self.refused += 1
            told = {"Request-Id": f"req_refused{next(_numbers)}", "Content-Type": "application/json"}
            return self.status, told, json.dumps({"error": self.error}).encode()
        return self._ask(method, path, headers, body)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        address = urlsplit(self.sandbox)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request(method, path, body or None, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read()
            told = {k: v for k, v in answer.getheaders() if k.lower() not in ("content-length", "connection")}
        finally:
            connection.close()
        return answer.status, told, text
