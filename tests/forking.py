"""Starts programs of ours without the seconds of CPU that importing libraries takes: the other half of `tests.forks`.

    python -P tests/forking.py SOCKET

It has imported the libraries and nothing of ours. For each request it forks a child, which imports our own code anew
and runs it as `python -m MODULE` would. When the other end of the socket closes, it ends, and its children with it.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import sys
import time
from dataclasses import dataclass
from importlib import import_module

LIBRARIES = """
    aiohttp alembic.command asyncpg click dramatiq.asyncio dramatiq.brokers.redis dramatiq.middleware litestar
    litestar.openapi msgspec redis.asyncio rich setproctitle sqlalchemy.dialects.postgresql.asyncpg
    sqlalchemy.ext.asyncio stripe uuid_utils.compat uvicorn uvicorn.protocols.http.httptools_impl uvloop
""".split()
REQUEST_MAX = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """What a child is to become."""

    parent: int
    files: list[int]  # its stdout and stderr; its stdin is the server's, which is empty
    module: str
    words: list[str]
    environ: dict[str, str]
    folder: str
    new_session: bool

    def run(self) -> None:
        """In the child: take the environment of a new process, then run the module."""
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.parent:
            os._exit(1)
        if self.new_session:
            os.setsid()
        for number, file in enumerate(self.files, 1):
            os.dup2(file, number)
            os.close(file)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environ)
        time.tzset()
        sys.path[:0] = filter(None, self.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.argv = [self.module, *self.words]
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


def serve(requests: socket.socket) -> Program | None:
    """Answer requests until the other end closes. In a child it returns what the child is to become."""
    while True:
        request, files, _, _ = socket.recv_fds(requests, REQUEST_MAX, 2)
        if not request:
            return None
        asked = json.loads(request)
        if "wait" in asked:
            answer = status(asked["wait"])
        else:
            program = Program(os.getpid(), list(files), **asked)
            answer = os.fork()
            if answer == 0:
                return program
            for file in files:
                os.close(file)
        requests.send(json.dumps(answer).encode())


def status(pid: int) -> int | None:
    """How a child ended, as subprocess tells it; None while it runs."""
    ended, how = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(how) if ended else None


def main() -> None:
    """Import, then serve; a child leaves by the same way, so that its interpreter ends as every other does."""
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()  # or a child's first collection would copy all of this
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        program = serve(requests)
    if program:
        program.run()


if __name__ == "__main__":
    main()
