"""The machine: room on its disk, descriptors, who can read the data folder, the environment, the console's exposure."""

import resource
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.console import Doorway
from service.foundation.errors import Misconfigured
from service.foundation.knobs import unknown
from service.foundation.postgres import pools
from service.foundation.settings import KNOBS, Settings
from service.ops.doctor.check import Check, judged

ROOM_MIN = 2 * 1024**3  # bytes; PostgreSQL alone keeps up to 1 GiB of its log, and stops where the disk is full
FILES_BESIDE = 128  # descriptors of a process beside those of PostgreSQL: Redis, Stripe, the log, producers
_OTHERS = 0o077


def checks(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """All of them."""
    folder = settings.data_dir
    return [
        _environment(environ),
        *([_disk(folder), _private(folder)] if folder.is_dir() else []),
        _open_files(settings),
        _console(settings),
    ]


def _environment(environ: Mapping[str, str]) -> Check:
    return judged(
        "environment", "has no setting that nobody knows", " ".join(unknown(environ, KNOBS)), "Rename or unset it."
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    has = f"{free / 1024**3:.1f} GiB are free for {folder}"
    return judged("disk", has, f"only {has}" if free < ROOM_MIN else "", "Make room, or move EO_DATA_DIR.")


def _private(folder: Path) -> Check:
    found = [str(path) for path in _of_ours(folder) if path.lstat().st_mode & _OTHERS]
    wrong = f"others than its owner can use {', '.join(sorted(found)[:5])}" if found else ""
    return judged(
        "private files", f"only their owner can use {folder} and what is in it", wrong, f"`chmod -R go= {folder}`"
    )


def _of_ours(folder: Path) -> Iterator[Path]:
    """The folder and what `eo up` writes into it. The servers watch over their own folders."""
    yield folder
    for path in folder.glob("*"):
        if path.is_file() and not path.is_symlink():
            yield path
    yield from (path for path in (folder / "log").glob("*") if path.is_file() and not path.is_symlink())


def _open_files(settings: Settings) -> Check:
    """A process raises its soft limit up to the hard one, so that one counts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(pools.per_process(settings).values()) + FILES_BESIDE
    if hard == resource.RLIM_INFINITY:
        return Check("open files", ok=True, said="are not limited")
    wrong = f"{hard} at most, and a process needs {needed} for its connections" if hard < needed else ""
    return judged("open files", f"{hard} at most, of which a process needs {needed}", wrong, _FILES)


def _console(settings: Settings) -> Check:
    if not settings.console:
        return Check("console", ok=True, said="is off")
    try:
        doorway = Doorway.of(settings)
    except Misconfigured as error:
        return Check("console", ok=False, said=str(error), next_step="`eo settings` shows what is set.")
    return Check("console", ok=True, said=f"is reached at {doorway.url} only")


_FILES = "Raise it: `ulimit -Hn`, or LimitNOFILE= of the service."
