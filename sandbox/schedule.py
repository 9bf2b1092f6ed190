"""Scheduled work, such as a late fee. Due work is done before every read and every 50 ms."""

import logging
from collections.abc import Callable

from sandbox.state import Sandbox

Task = Callable[[Sandbox, str, bytes, int], None]
# At most so many pieces of due work are done at once, so that no request waits for all of it.
SLICE = 200
_log = logging.getLogger("sandbox")


def later(sandbox: Sandbox, due: float, task: str, subject: str, payload: bytes = b"") -> None:
    """Plan `task` for the object `subject` at `due` on the sandbox's clock."""
    sandbox.store.write(
        "INSERT INTO scheduled (due, task, subject, payload) VALUES (?, ?, ?, ?)",
        (due, task, subject, payload),
    )


def do_due(sandbox: Sandbox, tasks: dict[str, Task], *, most: int = -1) -> int:
    """Do what is due, oldest first, at most `most` pieces. Returns how many were done."""
    return _do(sandbox, tasks, "due <= ?", (sandbox.clock.exact(),), most)


def do_now(sandbox: Sandbox, tasks: dict[str, Task], task: str) -> int:
    """Do every planned `task` at once, due or not."""
    return _do(sandbox, tasks, "task = ?", (task,), -1)


def _do(sandbox: Sandbox, tasks: dict[str, Task], which: str, values: tuple[object, ...], most: int) -> int:
    found = sandbox.store.rows(
        f"SELECT seq, due, task, subject, payload FROM scheduled WHERE {which} ORDER BY due, seq LIMIT ?",
        (*values, most),
    )
    now = sandbox.clock.now()
    for seq, due, task, subject, payload in found:
        sandbox.store.write("DELETE FROM scheduled WHERE seq = ?", (seq,))
        sandbox.store.start_apart()
        try:
            # The work is dated to when it was due, also where it is done later.
            tasks[task](sandbox, subject, payload, min(int(due), now))
        except Exception:  # noqa: BLE001  whatever it is, it happens to this one task and is not tried again
            _log.exception("%s of %s", task, subject)
            sandbox.store.undo_apart()
    return len(found)
