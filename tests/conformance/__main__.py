"""`python -m tests.conformance`: the suite against Stripe's test mode, or against the sandbox when no key is given.

STRIPE_API_KEY=sk_test_… chooses Stripe. Any other key is refused: the suite makes real payments where it can.
What was seen goes to build/conformance.json and build/conformance.md. Exit code 1: something differed; 2: bad key.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.conformance import report, runner
from tests.conformance.cases import CASES
from tests.conformance.drivers.aiohttp_client import AiohttpDriver
from tests.conformance.drivers.node_client import NodeDriver, why_not
from tests.conformance.drivers.requests_client import RequestsDriver
from tests.conformance.targets import Anyone, Sandbox, Stripe
from tests.sandbox.process import SandboxProcess

FOLDER = Path(__file__).parents[2] / "build"
EXIT_DIFFERENT, EXIT_USAGE = 1, 2

Make = type[RequestsDriver] | type[AiohttpDriver] | type[NodeDriver]


def main() -> int:
    """Run everything, write the files, say the result in a few lines."""
    key = os.environ.get("STRIPE_API_KEY", "")
    if key and not key.startswith("sk_test_"):
        print("STRIPE_API_KEY must begin with sk_test_: the suite makes payments.", file=sys.stderr)
        return EXIT_USAGE
    with _target(key) as target:
        print(f"Conformance of {target.name} ({target.target.address}), {len(CASES)} cases a client.")
        found = report.Report(target.name, target.target.address, datetime.now(UTC), [
            _client(RequestsDriver, None, target),
            _client(AiohttpDriver, None, target),
            _client(NodeDriver, why_not(), target),
        ])  # fmt: skip
    for path in report.write(found, FOLDER):
        print(f"written: {path.relative_to(FOLDER.parent)}")
    return 0 if found.holds else EXIT_DIFFERENT


@contextmanager
def _target(key: str) -> Iterator[Anyone]:
    if key:
        yield Stripe(key)
        return
    print("No STRIPE_API_KEY=sk_test_… is given, so the sandbox answers, not Stripe.")
    with tempfile.TemporaryDirectory() as folder:
        process = SandboxProcess(Path(folder) / "books.sqlite3", "--fee-delay-s", "0.2").start()
        try:
            yield Sandbox(process)
        finally:
            process.kill()


def _client(make: Make, absent: str | None, target: Anyone) -> report.Client:
    if absent is not None:
        print(f"{make.name}: left out, because {absent}")
        return report.Client(make.name, None, absent, [])
    with closing(make(target.target)) as driver:
        results = [runner.run(case, driver, target) for case in CASES]
        client = report.Client(driver.name, driver.versions(), None, results)
    counts = ", ".join(f"{client.count(word)} {word}" for word in ("ok", "in part", "different"))
    print(f"{client.name} {driver.versions().sdk}, API {driver.versions().api}: {counts}")
    return client


if __name__ == "__main__":
    sys.exit(main())
