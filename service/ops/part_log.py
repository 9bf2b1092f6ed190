"""The log file of one part of `eo up`: what the part wrote since its start, which lines are new, and rotation.

A part appends (O_APPEND) through a descriptor that it received at its start. A file that is moved still receives the
lines until the part starts again; a file that is emptied receives them at its beginning. Rotation copies the file and
then empties it; a line that is written between the two is lost, which is acceptable for a log.
"""

import contextlib
import os
import shutil
from pathlib import Path

MAX_BYTES = 16 << 20  # a larger log is rotated; with KEPT copies a part uses at most 80 MiB
KEPT = 4  # rotated files that are kept; relay.log.1 is the youngest
_READ_MAX = 1 << 20  # bytes read in one go, so that a part that writes much does not delay the others


class PartLog:
    """One log file, opened again at each start of its part. The file and its folder are made where they are missing."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._descriptor: int | None = None
        self._start = 0
        self._read = 0

    def open(self) -> int:
        """Open the file for a part that starts now; returns the descriptor, which this object will close."""
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._start = self._read = self._size()
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def since_start(self) -> str:
        """The text that the part wrote since its last start, as far as the file still holds it."""
        self._notice_cut()
        return self._text(self._start, self._size() - self._start)

    def new_lines(self) -> list[str]:
        """Complete lines that no earlier call returned; at most one MiB of them."""
        self._notice_cut()
        if self._descriptor is None:
            return []
        found = os.pread(self._descriptor, _READ_MAX, self._read)
        whole = len(found) if len(found) == _READ_MAX and b"\n" not in found else found.rfind(b"\n") + 1
        self._read += whole
        return found[:whole].decode(errors="replace").split("\n")[:-1]

    def skip(self) -> None:
        """Treat all lines written so far as returned."""
        self._read = self._size()

    def rotate(self) -> None:
        """Copy the file and empty it where it is larger than MAX_BYTES. On a full disk nothing is done."""
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
        """Start at the beginning again where the file has become shorter, because somebody emptied it."""
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
        """Copy the file, and what is appended meanwhile."""
        source = Path(f"/proc/self/fd/{self._open_descriptor}")  # this finds the file also after it was moved
        to.touch(mode=0o600)
        with source.open("rb") as full, to.open("wb") as copy:
            shutil.copyfileobj(full, copy)
            while full.tell() < self._size():
                shutil.copyfileobj(full, copy)
