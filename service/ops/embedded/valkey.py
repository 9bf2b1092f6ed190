"""A Valkey server that is a direct child of this process and ends with it."""

import socket
from pathlib import Path
from typing import Self

from service.ops.child import Child
from service.ops.embedded.places import HERE, free_port, private_folder, valkey_program, write_private
from service.ops.isolation import close_to_others, give, private_user, reachable


class Valkey(Child):
    """A Valkey of our own on a loopback port with a password. Losing its data costs latency and nothing else."""

    def __init__(self, folder: Path, *, password: str, persistent: bool = True, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.port = free_port()
        self._password = password
        self._persistent = persistent
        super().__init__("redis", [], log=log or self.folder.parent / "redis.log")

    @property
    def url(self) -> str:
        """The server's URL. The port is chosen once and kept over restarts."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration file; the password is in it because `ps` would show an argument."""
        self.user = private_user(self.folder)
        private_folder(self.folder)
        config = "\n".join(f"{name} {value}" for name, value in self._config().items()) + "\n"
        write_private(self.folder / "valkey.conf", config)
        close_to_others(self.folder)
        give(self.folder, self.user)
        program = valkey_program()
        program = reachable(program.parent, program.name, self.user) / program.name
        self.folder_of_work = self.folder
        self.argv = [str(program), f"{HERE}/valkey.conf"]

    def is_ready(self) -> bool:
        """Whether it answers a PING; it does not while it loads its data."""
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def command(self, line: str) -> str:
        """Send an inline command such as FLUSHALL; the first line of the answer. Raises OSError without an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"AUTH {self._password}\r\n{line}\r\n".encode())
            with connection.makefile("r", newline="\r\n") as answers:
                answers.readline()
                return answers.readline().strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _config(self) -> dict[str, str]:
        return {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self._password,
            "dir": ".",
            # A broker that evicts messages would make the outbox deliver them again, later.
            "maxmemory-policy": "noeviction",
            "appendonly": "yes" if self._persistent else "no",
            "save": '""',
            "daemonize": "no",
        }
