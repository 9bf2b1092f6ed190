"""PostgreSQL clusters with our schema, as copies of one: a fifth of what making and migrating each would cost.

All processes of one run of the tests copy the same, which the first of them makes.
"""

import atexit
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from service.foundation.postgres.migrate import upgrade
from service.ops.embedded import Postgres

MEMORY = Path("/dev/shm")  # noqa: S108  a RAM disk: fsync stays on in tests, and costs nothing there
MEMORY_NEEDED = 2 << 30
# A copy is an installation of its own, born now.
BORN = "UPDATE instance SET uuid = gen_random_uuid(), created_at = now()"


def servers_parent() -> Path:
    """Where the data of tests' servers lies: in memory where there is room."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED
    return MEMORY if in_memory else Path(tempfile.gettempdir())


def run_folder() -> Path:
    """What all processes of this run of the tests share; its name has the pid of the one that ends last."""
    pid = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return servers_parent() / f"eo-tests-{pid}-run"


def give_data(postgres: Postgres, name: str = "migrated", make: Callable[[Postgres], None] | None = None) -> None:
    """Give `postgres`, which was never started, the data of the cluster with this name.

    Whoever needs it first makes it: `make` is given it running, and fills it; else it is migrated.
    """
    folder = run_folder()
    if "PYTEST_XDIST_WORKER" not in os.environ:  # else the process that started this one removes it
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir(mode=0o711, exist_ok=True)
    first = Postgres(folder / name, version=postgres.version)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / f"{name}-is-made").exists():
            with first:
                make(first) if make else upgrade(first.owner_url)
            (folder / f"{name}-is-made").touch()
    postgres.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(first.data), str(postgres.data)], check=True)  # noqa: S607
