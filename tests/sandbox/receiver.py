"""Somebody who is sent events: an HTTP server in this process that keeps every request as it came."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import stripe

WITHIN_S = 20


class Post(NamedTuple):
    """One request: header names are in lower case, the body is raw."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def signature(self) -> str:
        return self.headers["stripe-signature"]

    def verified(self, secret: str) -> Any:
        """The event, if Stripe's own verifier takes it."""
        return stripe.Webhook.construct_event(self.body, self.signature, secret)

    def notified(self, client: stripe.StripeClient, secret: str) -> Any:
        """The thin event, if Stripe's own verifier takes it."""
        return client.parse_event_notification(self.body, self.signature, secret)


Answer = Callable[[Post], int]


class Receiver:
    """Answers 200, or what `answer` says for a request."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Answer = lambda _: 200
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, headers, self.rfile.read(int(headers["content-length"])))
                status = receiver.answer(post)
                receiver.keep(post)
                self.send_response(status)
                if status // 100 == 3:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_request(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keep(self, post: Post) -> None:
        with self._came:
            self.posts.append(post)
            self._came.notify_all()

    def wait(self, count: int) -> list[Post]:
        """The first posts, once so many have come."""
        deadline = time.monotonic() + WITHIN_S
        with self._came:
            while len(self.posts) < count:
                assert self._came.wait(deadline - time.monotonic()), f"{len(self.posts)} of {count} came"
            return list(self.posts)
