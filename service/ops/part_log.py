"""The log file of one part of `eo up`: what the part said since its start, what is new, and the file's rotation.

A part appends (O_APPEND) through a descriptor that it received at its start. So anybody may move the file: the lines
follow it until the part starts again. Anybody may empty it: the lines go on at its beginning. Rotation copies the file,
then empties it; a line written in that very moment can be lost, which a log may do and the books may not.
"""

import contextlib
import os
import shutil
from pathlib import Path

MAX_BYTES = 16 << 20  # a log larger than this is rotated: 80 MiB at most for a part, with the kept ones
KEPT = 4  # rotated files: relay.log.1 is the youngest
_READ_MAX = 1 << 20  # bytes looked at in one go, so that a chatty part cannot hold up its neighbours


class PartLog:
    """One file, opened anew at each start of its part. `path` need not exist, nor its folder."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._descriptor: int | None = None
        self._start = 0
        self._read = 0

    def open(self) -> int:
        """A descriptor for a part that starts now. It belongs to this object."""
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._start = self._read = self._size()
        return self._descriptor

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def since_start(self) -> str:
        """What the part wrote since its last start, as far as the file still has it."""
        self._notice_cut()
        return self._text(self._start, self._size() - self._start)

    def new_lines(self) -> list[str]:
        """Whole lines nobody has asked for before; at most one MiB of them."""
        self._notice_cut()
        if self._descriptor is None:
            return []
        found = os.pread(self._descriptor, _READ_MAX, self._read)
        whole = len(found) if len(found) == _READ_MAX and b"\n" not in found else found.rfind(b"\n") + 1
        self._read += whole
        return found[:whole].decode(errors="replace").split("\n")[:-1]

    def skip(self) -> None:
        """Take what is there as read."""
        self._read = self._size()

    def rotate(self) -> None:
        """Where the file has grown too large: keep a copy beside it, empty it. A full disk changes nothing."""
        if self._size() <= self._max_bytes:
            return
        with contextlib.suppress(OSError):
            self._shift()
            self._copy(self._kept(1))
            os.ftruncate(self._open_descriptor, 0)

    @property
    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not open")
        return self._descriptor

    def _size(self) -> int:
        return 0 if self._descriptor is None else os.fstat(self._descriptor).st_size

    def _notice_cut(self) -> None:
        """Somebody emptied the file: what is in it now is all new."""
        size = self._size()
        if size < self._read:
            self._read = 0
        if size < self._start:
            self._start = 0

    def _text(self, start: int, size: int) -> str:
        return "" if self._descriptor is None else os.pread(self._descriptor, size, start).decode(errors="replace")

    def _kept(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _shift(self) -> None:
        for number in range(KEPT, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                self._kept(number - 1).replace(self._kept(number))

    def _copy(self, to: Path) -> None:
        """Copy until nothing more has come."""
        source = Path(f"/proc/self/fd/{self._open_descriptor}")  # the file itself, wherever it was moved
        to.touch(mode=0o600)
        with source.open("rb") as full, to.open("wb") as copy:
            shutil.copyfileobj(full, copy)
            while full.tell() < self._size():
                shutil.copyfileobj(full, copy)
