"""The user that an embedded server runs as: one that no other process of this machine has.

PostgreSQL refuses to run as root, and an account such as `nobody` is shared: another program that runs as it could read
the data, trace the server, or log in as it. So where root starts a server, the server gets a uid that nothing else
uses. The uid is chosen once; it owns the data folder, and later starts read it from there. The server has no
capabilities. It starts in its data folder and reaches it as `/proc/self/cwd`, because the folders above may be closed
to it. Where its program is below a closed folder, it runs a copy of the program.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.foundation.errors import Misconfigured

# The two ranges that no distribution assigns (systemd's table of uids). Containers often map only the second.
_UNUSED = range(1_879_048_192, 2_147_483_647)
_UNUSED_SMALL = range(60_578, 61_184)
_NEEDED = {"CAP_CHOWN": 0, "CAP_SETGID": 6, "CAP_SETUID": 7}
# initdb needs a uid with a name. It runs as one of these accounts, which Linux systems have and seldom use.
_NAMED = ("games", "news", "uucp", "lp", "man", "mail", "bin", "daemon", "nobody")
_COPIES = Path("/var/cache/effectively-once")  # copies of programs; may be deleted while no `eo up` runs


@dataclass(frozen=True, slots=True)
class User:
    """The user that a child process runs as."""

    uid: int
    gid: int


def private_user(data: Path) -> User | None:
    """The user for the server of that data folder: the folder's owner if its uid is of the two ranges, or a new one.

    None where this process is not root: the server then runs as the same user. Raises Misconfigured where this root
    has not the capabilities to change users.
    """
    if os.geteuid() != 0:
        return None
    missing = [name for name, bit in _NEEDED.items() if not _effective_capabilities() & (1 << bit)]
    if missing:
        raise Misconfigured(
            f"An embedded server must not run as root, and this root lacks {', '.join(missing)} to give it a user of "
            "its own. Run as another user than root, or set DATABASE_URL and REDIS_URL."
        )
    owner = data.stat().st_uid if data.exists() else 0
    uid = owner if owner in _UNUSED or owner in _UNUSED_SMALL else _new_uid()
    return User(uid, uid)


def named_user() -> User | None:
    """An account for initdb, if possible one that runs no process now. None where this process is not root."""
    if os.geteuid() != 0:
        return None
    busy = _uids_that_run()
    accounts = list(_accounts())
    if not accounts:
        raise Misconfigured("initdb needs an account that is not root, and this system has none. Set DATABASE_URL.")
    return next((account for account in accounts if account.uid not in busy), accounts[-1])


def become_user(user: User) -> None:
    """Change the user of this process, a forked child before exec. The kernel takes all its capabilities away."""
    os.setgroups([])
    os.setgid(user.gid)
    os.setuid(user.uid)


def give(tree: Path, user: User | None) -> None:
    """Make `user` the owner of a folder and all in it, except files with a second hard link. Links are not followed."""
    if user is None:
        return
    for folder, folders, files in os.walk(tree):
        for name in files + [name for name in folders if Path(folder, name).is_symlink()]:
            path = Path(folder, name)
            if path.lstat().st_nlink == 1:
                os.lchown(path, user.uid, user.gid)
        os.lchown(folder, user.uid, user.gid)


def close_to_others(tree: Path) -> None:
    """Set folders to mode 0700 and files to 0600. Links are not followed."""
    for folder, folders, files in os.walk(tree):
        Path(folder).chmod(0o700)
        for name in files + folders:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file():
                path.chmod(0o600)


def reachable(tree: Path, needed: str, user: User | None, *, libraries: Path | None = None) -> Path:
    """A folder with the programs of `tree` that `user` can run: `tree`, or a copy where a folder above it is closed.

    `needed` is a program in `tree`; `libraries` is the folder beside `tree`'s parent from which its programs load
    libraries. Raises Misconfigured where no copy can be made.
    """
    if user is None or _may_run(tree / needed):
        return tree
    if not _COPIES.parent.is_dir() or os.statvfs(_COPIES.parent).f_flag & os.ST_NOEXEC:
        raise Misconfigured(
            f"{tree} lies below a folder that only root may enter, and {_COPIES.parent} can hold no copy of it. "
            "Install this elsewhere, or set DATABASE_URL and REDIS_URL."
        )
    _COPIES.mkdir(mode=0o755, exist_ok=True)
    found = _COPIES.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise Misconfigured(f"{_COPIES} is not a folder that only root may write. Remove it.")
    _COPIES.chmod(0o755)  # the umask may have taken bits away
    copy = _COPIES / hashlib.sha256((tree / needed).read_bytes()).hexdigest()[:16]  # all installations share a copy
    inside = Path(tree.parent.name, tree.name)
    if not copy.exists():
        _copy({tree: inside} | ({libraries: Path(libraries.name)} if libraries and libraries.is_dir() else {}), copy)
    return copy / inside


def _copy(trees: Mapping[Path, Path], copy: Path) -> None:
    """Copy each tree to its name in `copy`, owned by root and readable by all; `copy` appears when it is complete."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=_COPIES) as folder:
        fresh = Path(folder, "programs")
        for tree, name in trees.items():
            shutil.copytree(tree, fresh / name, ignore=shutil.ignore_patterns("include"))
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                is_program = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if is_program else 0o644)
                os.chown(path, 0, 0)
        try:
            fresh.rename(copy)
        except OSError:  # another process may have made the same copy meanwhile
            if not copy.exists():
                raise


def _may_run(program: Path) -> bool:
    """Whether every user may reach, read and run the program, by the mode bits."""
    found = program.resolve()
    return found.stat().st_mode & 0o005 == 0o005 and all(folder.stat().st_mode & 0o001 for folder in found.parents)


def _accounts() -> Iterator[User]:
    for name in _NAMED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            yield User(found.pw_uid, found.pw_gid)


def _new_uid() -> int:
    busy = _uids_that_run()
    for possible in (_UNUSED, _UNUSED_SMALL):
        if _is_mapped(possible[-1]):
            uid = secrets.choice(possible)
            while uid in busy:
                uid = secrets.choice(possible)
            return uid
    raise Misconfigured("This container maps no uid for an embedded server. Run as another user than root.")


def _is_mapped(uid: int) -> bool:
    """Whether that uid exists in this user namespace."""
    lines = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(int(inside) <= uid < int(inside) + int(length) for inside, _outside, length in lines)


def _uids_that_run() -> set[int]:
    uids = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            uids.add(process.stat().st_uid)
        except OSError:  # the process has ended meanwhile
            continue
    return uids


def _effective_capabilities() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
