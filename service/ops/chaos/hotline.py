"""The socket on which `eo up` is asked for faults. It has mode 0600, and the kernel says who connects."""

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from service.ops.embedded import SOCKET_PATH_MAX

SOCKET_FILE = "chaos.sock"
_READ_S = 0.5  # a client that connects and says nothing holds up the supervisor so long
_LINE_MAX = 4096
_PEER = struct.Struct("3i")  # pid, uid, gid


class Hotline:
    """Listens in the data folder, or in a folder of its own where that path is too long for the kernel.

    SIGIO, which must be blocked, tells that somebody connects. `close` it.
    """

    def __init__(self, data_dir: Path) -> None:
        near = data_dir / SOCKET_FILE
        is_short = len(os.fsencode(near)) <= SOCKET_PATH_MAX
        self._folder = None if is_short else Path(tempfile.mkdtemp(prefix="eo-"))
        self.path = near if self._folder is None else self._folder / SOCKET_FILE
        self.path.unlink(missing_ok=True)  # left by an `eo up` that was killed
        self._listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self.path))
        finally:
            os.umask(before)
        self._listener.listen(8)
        self._listener.setblocking(False)
        descriptor = self._listener.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)

    def answer(self, reply: Callable[[bytes], bytes]) -> None:
        """Answer all who have connected. Another user than ours gets no word."""
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            with client, contextlib.suppress(OSError):
                if _uid_of(client) == os.geteuid():
                    client.settimeout(_READ_S)
                    client.sendall(reply(_line(client)) + b"\n")

    def close(self) -> None:
        """Stop listening, and remove the socket."""
        self._listener.close()
        self.path.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _uid_of(client: socket.socket) -> int:
    _, uid, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _line(client: socket.socket) -> bytes:
    found = b""
    while b"\n" not in found and len(found) < _LINE_MAX:
        more = client.recv(_LINE_MAX)
        if not more:
            break
        found += more
    return found.partition(b"\n")[0]
