"""The official Node SDK, in a process of its own that speaks JSON lines."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.conformance.calls import AutoPage, Options, Request, arguments
from tests.conformance.drivers.outcome import Outcome, Target, Versions

FOLDER = Path(__file__).parents[1] / "node"
NODE_MAJOR_MIN = 20
STOP_S_MAX = 10


def why_not() -> str | None:
    """Why the Node SDK cannot be run here; None when it can."""
    node = shutil.which("node")
    if node is None:
        return "Node is not installed here"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        return f"Node is {version}; the SDK needs {NODE_MAJOR_MIN} or newer"
    if not (FOLDER / "node_modules/stripe/package.json").is_file():
        return "the Node SDK is not installed: npm was absent or failed at `make`"
    return None


class NodeDriver:
    """`node driver.mjs`, started at once, ended by close."""

    name = "stripe-node"

    def __init__(self, target: Target) -> None:
        environment = {"PATH": os.environ["PATH"], "STRIPE_API_KEY": target.key}
        command = [shutil.which("node") or "node", str(FOLDER / "driver.mjs"), target.address]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._versions = Versions(**self._hear())

    def versions(self) -> Versions:
        return self._versions

    def perform(self, wanted: Sequence[Request]) -> list[Outcome]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([_line(request) for request in wanted]) + "\n")
        self._process.stdin.flush()
        return [Outcome(**told) for told in self._hear()]

    def close(self) -> None:
        """The end of its input ends it."""
        self._process.communicate(timeout=STOP_S_MAX)

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the Node SDK's process has ended"
        return json.loads(line)


def _line(request: Request) -> dict[str, Any]:
    call, most = (
        (request.call.listing, request.call.most) if isinstance(request.call, AutoPage) else (request.call, None)
    )
    return {"call": call.NODE, "arguments": arguments(call), "options": _options(request.options), "most": most}


def _options(options: Options) -> dict[str, str | None]:
    node = {"idempotency_key": "idempotencyKey", "api_key": "apiKey", "stripe_version": "apiVersion"}
    return {node[name]: value for name, value in asdict(options).items()}
