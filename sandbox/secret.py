"""The secret of the control API, kept in a file of mode 0600.

Without it every user of the machine could move the clock, set faults and read what was charged.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from sandbox.errors import ApiError

VARIABLE = "EO_SANDBOX_SECRET"
LENGTH_MIN = 20
_NO_SECRET = (
    "The control API needs `Authorization: Bearer SECRET`. The secret is in the file beside the data file that ends in "
    f".secret, or what {VARIABLE} names."
)


def secret_file(data: Path) -> Path:
    """The path of the secret that belongs to a data file."""
    return data.with_name(data.name + ".secret")


def control_secret(data: Path, named: str | None) -> str:
    """The secret `named`, else that of the file, which the first run makes. Raises OSError or ValueError."""
    if named:
        if len(named) < LENGTH_MIN or not named.isascii() or not named.isprintable() or " " in named:
            raise ValueError(f"{VARIABLE} must have {LENGTH_MIN} or more printable characters without spaces")
        return named
    file = secret_file(data)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as fresh:
            fresh.write(secrets.token_urlsafe(24) + "\n")
    except FileExistsError:
        pass
    kept = file.read_text().strip()
    if len(kept) < LENGTH_MIN:
        raise ValueError(f"{file} holds no secret; remove it, and one is made")
    return kept


def check_may_control(headers: Iterable[tuple[bytes, bytes]], secret: str) -> None:
    """Raises ApiError (401) where a request does not bear the secret."""
    shown = next((value for name, value in headers if name == b"authorization"), b"")
    if not hmac.compare_digest(shown, f"Bearer {secret}".encode()):
        raise ApiError(401, "authentication_error", _NO_SECRET)
