"""A sandbox process under test: start it, speak to its control API, kill it, start it again on the same books."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

START_S_MAX = 10
STOP_S_MAX = 10
SECRET = "of-the-control-api-in-tests"
KEY = "sk_test_conformance0123456789"


class SandboxProcess:
    """`python -m sandbox` on a free port and the given data file."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "SandboxProcess":
        """Start and wait until it answers."""
        arguments = ["--port", str(self.port), "--data", str(self.data), *self._options]
        environ = {**os.environ, "EO_SANDBOX_SECRET": SECRET}
        self._process = subprocess.Popen([sys.executable, "-m", "sandbox", *arguments], env=environ)
        deadline = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self._process.poll() is None, "the sandbox ended at once"
            assert time.monotonic() < deadline, "the sandbox does not answer"
            time.sleep(0.01)
        return self

    def control(self, method: str, path: str, body: object = None) -> Any:
        """One call of the control API; raises on anything but 200."""
        data = None if body is None else json.dumps(body).encode()
        url, headers = f"{self.base}/_sandbox/{path}", {"Authorization": f"Bearer {SECRET}"}
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  our own server
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def truth(self, order: str) -> Any:
        """What was really charged for the order."""
        return self.control("GET", f"truth?order={order}")

    def faults(self, *rules: dict[str, Any], seed: int = 1) -> None:
        """Put a fault plan in force."""
        self.control("POST", "faults", {"seed": seed, "rules": list(rules)})

    def fired(self) -> list[int]:
        """How often each rule of the plan struck."""
        return [rule["fired"] for rule in self.control("GET", "faults")["rules"]]

    def calm(self) -> None:
        """Take back everything that a test may have set."""
        self.control("DELETE", "faults")
        self.control("POST", "latency", {"p50_ms": 0})
        self.control("POST", "rate_limit", {"rps": None})
        self.control("POST", "fees", {"delay_s": 0.2})
        self.control("POST", "strict", {"rules": []})

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        return self._process.wait(STOP_S_MAX)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGKILL)
            self.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.control("GET", "health")["status"] == "ok")
        except (OSError, HTTPError):
            return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
