"""Break guards, one after the other, and tell what went red.

    python -m tests.chaos.mutations              # all of them, a few minutes
    python -m tests.chaos.mutations key age      # only those whose names begin so

Each is done to a copy of the committed tree; the working tree is not touched. Exit status 1: a guard was broken and its
test stayed green.
"""

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.chaos.mutations import MUTATIONS
from tests.chaos.mutations.mutation import Mutation

ROOT = Path(__file__).parents[3]
RUN_S = 240


def broken_copy(mutation: Mutation, folder: Path) -> None:
    """The committed tree in `folder`, with the guard broken. Fails where the guard is not found exactly once."""
    tree = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        archive.extractall(folder, filter="data")
    path = folder / mutation.path
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.name}: found {text.count(mutation.old)} times in {mutation.path}"
    path.write_text(text.replace(mutation.old, mutation.new))


def red_tests(mutation: Mutation, folder: Path, wanted: str) -> list[str]:
    """Names of the tests that fail in the broken copy."""
    file, _, start = wanted.partition("::")
    select = ["-k", re.split(r"\[", start)[0]] if start else []
    if "[" in start:
        select = ["-k", f"{start.partition('[')[0]} and {start.partition('[')[2].rpartition('.')[2]}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", file, *select],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert run.returncode in (0, 1, 2), run.stdout + run.stderr
    assert not re.search(r"no tests ran|0 selected", run.stdout), f"{wanted}: no such test"
    if "+ Timeout +" in run.stdout:  # which ends the process before it names its tests
        return [f"{wanted} did not end"]
    return re.findall(r"^(?:FAILED|ERROR) \S*?::(\S+)", run.stdout, flags=re.MULTILINE)


def main() -> None:
    """Break one after the other and tell what went red."""
    starts = tuple(sys.argv[1:])
    unseen = []
    for mutation in MUTATIONS:
        if starts and not mutation.name.startswith(starts):
            continue
        with tempfile.TemporaryDirectory(prefix="eo-broken-") as folder:
            broken_copy(mutation, Path(folder))
            for wanted in mutation.tests:
                red = red_tests(mutation, Path(folder), wanted)
                print(f"{'red  ' if red else 'GREEN'} {mutation.name}: {', '.join(red) or wanted}", flush=True)
                unseen += [] if red else [f"{mutation.name}: {wanted}"]
    sys.exit(bool(unseen))


if __name__ == "__main__":
    main()
