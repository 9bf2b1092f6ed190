"""A producer is told, by real processes, while others' receivers hang and flood, and while its worker dies."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from service.foundation.crash import CrashPoint
from service.notices import NOTICE_TYPES
from tests.acceptance.fleet import ORDER, Fleet, NewFleet

pytestmark = pytest.mark.slow

WITHIN_S = 30.0
WAIT = "wait=30"
DUE = "UPDATE notices SET deliver_after = now() WHERE status = 'pending' RETURNING id"


class Listener(ThreadingHTTPServer):
    """Takes every notice; `taken` has its body and headers."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.taken.append((body, dict(self.headers)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        super().__init__(("127.0.0.1", 0), Handler)

    def of(self, object_id: str) -> list[str]:
        """The ids under which notices of an object came."""
        return [headers["webhook-id"] for body, headers in self.taken if object_id in body.decode()]


@contextmanager
def serving(listener: Listener) -> Iterator[Listener]:
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield listener
    listener.shutdown()
    thread.join()
    listener.server_close()


@contextmanager
def hanging(*, loud: bool) -> Iterator[int]:
    """A port at which somebody accepts and says nothing, or early answers for ever."""
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                held.append(server.accept()[0])
                if loud:
                    threading.Thread(target=flood, args=[held[-1]], daemon=True).start()

    def flood(connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for one in held:
        one.close()


@pytest.fixture(scope="module")
def told(new_fleet: NewFleet) -> Fleet:
    """One of each, which may send notices to this machine."""
    return new_fleet(EO_NOTICE_HTTP="1", EO_NOTICE_PRIVATE="1").start_all()


def listens(fleet: Fleet, port: int, key: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/notices"
    answer = fleet.post("/v1/webhook_endpoints", {"url": url, "events": list(NOTICE_TYPES)}, key=key)
    assert answer.status == 201, answer
    return dict(answer.body)


def test_orders_are_paid_and_told_beside_receivers_that_hang_and_flood(told: Fleet) -> None:
    with serving(Listener()) as listener, hanging(loud=False) as silent, hanging(loud=True) as loud:
        endpoint = listens(told, listener.server_port, "good")
        hostile = [listens(told, port, f"bad-{n}-{port}")["id"] for n in range(3) for port in (silent, loud)]
        placed = told.place("first", 40)
        declined = told.post(
            "/v1/orders", {**ORDER, "payment_method": "pm_card_chargeDeclined"}, key="no", prefer=WAIT
        ).body["id"]
        told.all_paid_once(placed, within_s=WITHIN_S)
        refund = told.post(f"/v1/orders/{placed[0]}/refunds", {}, key="back", prefer=WAIT).body["id"]
        told.until(lambda: len(listener.taken) >= 42, within_s=WITHIN_S, what="all is told")
        verify = Webhook(endpoint["secret"]).verify
        notices = [verify(body, headers) for body, headers in listener.taken]
        assert Counter(notice["type"] for notice in notices) == {
            "order.paid": 40,
            "order.failed": 1,
            "refund.succeeded": 1,
        }
        assert {notice["data"]["id"] for notice in notices} == {*placed, declined, refund}
        waiting = told.rows("SELECT DISTINCT endpoint_id::text FROM notices WHERE status = 'pending'")
        assert {row[0] for row in waiting} == set(hostile), "they have taken none, and nobody waited for them"
        told.rows("UPDATE webhook_endpoints SET deleted_at = now()")


@pytest.mark.parametrize("point", [point for point in CrashPoint if point.startswith("notice.")])
def test_a_notice_in_a_dying_hand_comes_again_under_its_id(point: CrashPoint, told: Fleet) -> None:
    with serving(Listener()) as listener:
        listens(told, listener.server_port, f"mine-{point}")
        told.kill("worker-1")
        told.add("worker-1", EO_CRASH_AT=str(point)).spawn()
        (order_id,) = told.place(f"dying-{point}", 1)
        told.until(lambda: not told.part("worker-1").is_running, within_s=WITHIN_S, what=f"it dies at {point}")
        assert f"dies at {point}" in told.part("worker-1").last_words()
        told.add("worker-1").spawn()
        told.await_ready("worker-1")
        told.until(
            lambda: not told.rows(DUE) or bool(_delivered(told, order_id)), within_s=WITHIN_S, every_s=0.5, what="told"
        )
        told.until(lambda: _delivered(told, order_id), within_s=WITHIN_S, what="it is delivered")
        came = listener.of(order_id)
        assert len(came) == (2 if point is CrashPoint.NOTICE_AFTER_SEND else 1)
        assert len(set(came)) == 1
        told.rows("UPDATE webhook_endpoints SET deleted_at = now()")


def _delivered(fleet: Fleet, order_id: str) -> bool:
    rows = fleet.rows("SELECT status FROM notices WHERE order_id = $1::text::uuid", order_id)
    return [row[0] for row in rows] == ["delivered"]
