"""A sandbox process under test: start it, speak to its control API, kill it, start it again on the same books."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sandbox.remote import Remote
from service.ops.child import HttpPart
from service.ops.embedded import free_port
from tests import forks

STOP_S_MAX = 10
SECRET = "of-the-control-api-in-tests"
KEY = "sk_test_conformance0123456789"


class SandboxProcess(Remote):
    """`python -m sandbox` on a free port and the given data file."""

    def __init__(self, data: Path, *options: str, part: type[HttpPart] = forks.Http) -> None:
        self.data = data
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        super().__init__(self.base, SECRET)
        argv = [sys.executable, "-m", "sandbox", "--port", str(self.port), "--data", str(data), *options]
        environ, health = {**os.environ, "EO_SANDBOX_SECRET": SECRET}, f"{self.base}/_sandbox/health"
        self._part = part("sandbox", argv, log=data.with_suffix(".log"), environ=environ, url=health)

    def start(self) -> "SandboxProcess":
        """Start and wait until it answers."""
        self._part.start()
        return self

    def control(self, method: str, path: str, body: object = None) -> Any:
        """One call of the control API; raises on anything but 200."""
        return self.call(method, path, body)

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
        self.control("POST", "deliveries", {"retry_s": 1})
        self.control("POST", "strict", {"rules": []})
        self.control("POST", "balance", {"currency": "usd", "available": None})

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        assert self._part.process is not None
        return self._part.process.wait(STOP_S_MAX)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._part.pid is not None
        os.kill(self._part.pid, number)

    def kill(self) -> None:
        """`kill -9`."""
        self._part.kill()
