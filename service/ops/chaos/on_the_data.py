"""A copy of the database that is put back later, as after a restored backup; and a day that passes."""

import os
import shutil
import time
from pathlib import Path

from service.ops.chaos.day import DAY_S, older
from service.ops.chaos.hands import Deed, Failed, Hands, Work, until
from service.ops.child import OneShot
from service.ops.embedded import Postgres
from service.ops.installation import Installation
from service.ops.isolation import give

KEPT, FORGOTTEN = "kept", "forgotten"  # folders beside the data
_COPIED_S = 300.0
_AGED_S = 120.0


def keep_copy(work: Work) -> Deed:
    """Copy the data directory while the server runs, in place of an earlier copy."""
    postgres, folder = _postgres(work.hands), _kept(work.hands)
    work.hands.copy_at = None
    yield from _remove(work.hands, folder)
    at = time.time()
    words = ("-D", str(folder), "--checkpoint=fast", "--no-sync")
    yield from _query(work.hands, "pg_basebackup", *words, within_s=_COPIED_S)
    give(folder, postgres.user)
    work.hands.copy_at = at
    work.say("A copy of the database is kept. Put back, it knows nothing of what comes from now on.")


def forget(work: Work) -> Deed:
    """Stop the server at once and start it on the copy."""
    postgres, folder, parts = _postgres(work.hands), _kept(work.hands), work.hands.parts
    if work.hands.copy_at is None:
        raise Failed("There is no copy of the database. Keep one first.")
    forgotten, pid = postgres.folder / FORGOTTEN, postgres.pid or 0
    seconds = time.time() - work.hands.copy_at
    parts.hold("postgres")
    try:
        postgres.kill()
        postgres.data.rename(forgotten)
        folder.rename(postgres.data)
        work.hands.copy_at = None
        work.inject("database forgot")
        work.say(f"The database was stopped, and its copy of {seconds:.0f} s ago put in its place.")
    finally:
        parts.release("postgres")
    yield from work.back("postgres", pid)
    work.say("It is in another life: relay and worker ask Stripe what it forgot, before they send anything.")
    yield from _remove(work.hands, forgotten)


def day(work: Work) -> Deed:
    """Everything stored, here and at Stripe, becomes a day older in one step; both clocks stay.

    No worker and no relay runs meanwhile: one that has just looked at its clock would send what is a day old.
    """
    parts, hands = work.hands.parts, work.hands
    held = ("relay", "worker")
    try:
        for name in held:
            parts.hold(name)
            yield from work.end(name)
        work.say("Relay and worker are stopped.")
        yield from _query(hands, "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-c", older(1), within_s=_AGED_S)
        hands.witness.age(DAY_S)
        work.inject("days passed")
        work.say("Everything here and at Stripe is a day older. Stripe has forgotten every idempotency key.")
    finally:
        for name in held:
            parts.release(name)
    work.say("Relay and worker start again. What was on its way is looked up at Stripe, and not sent again.")


def discard(installation: Installation) -> None:
    """Remove copies that an `eo up` left, which nobody can put back any more."""
    postgres = installation.parts.get("postgres")
    if isinstance(postgres, Postgres):
        for folder in (postgres.folder / KEPT, postgres.folder / FORGOTTEN):
            shutil.rmtree(folder, ignore_errors=True)


def _query(hands: Hands, program: str, *words: str, within_s: float) -> Deed:
    """Run one of PostgreSQL's own programs for its superuser. Raises Failed with its last words."""
    postgres = _postgres(hands)
    command = [str(postgres.programs / program), "-h", str(postgres.sockets), "-U", "postgres", *words]
    yield from _run(hands, program, command, within_s, PGPASSWORD=postgres.password)


def _remove(hands: Hands, folder: Path) -> Deed:
    """Remove a folder that may be large, while the supervisor looks after the parts."""
    yield from _run(hands, "rm", ["rm", "-rf", "--", str(folder)], _COPIED_S)


def _run(hands: Hands, program: str, command: list[str], within_s: float, **environ: str) -> Deed:
    told = {"PATH": os.environ.get("PATH", ""), **environ}
    part = OneShot(program, command, log=hands.installation.logs / f"{program}.log", environ=told)
    part.spawn()
    try:
        yield from until(lambda: not part.is_running, within_s=within_s)
        if not part.is_done:
            raise Failed(f"{program} did not do it: {part.last_words()}")
    finally:
        part.kill()
        part.written.close()


def _postgres(hands: Hands) -> Postgres:
    part = hands.part("postgres")
    if not isinstance(part, Postgres):
        raise Failed("The database is not one of `eo up`'s own, so it is left alone.")
    return part


def _kept(hands: Hands) -> Path:
    return _postgres(hands).folder / KEPT
