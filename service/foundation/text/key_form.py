"""The form of a key that is made here: `eo_test_<public id>_<secret><checksum>`. Pure.

The checksum is the CRC-32 of all before it, in six digits of base 62, so that a key with a typo is refused without a
question to the database, and whoever scans texts for secrets can tell a key from a word that looks like one.
"""

import re
import secrets
import string
import zlib

PUBLIC_ID_LENGTH = 12
_SECRET_LENGTH = 40  # of 62 letters: 238 bits
_CHECKSUM_LENGTH = 6  # 62 ** 6 is above 2 ** 32
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# A key that was made before keys had a checksum is shorter.
PATTERN = rf"eo_(?:test|live)_[0-9A-Za-z]{{{PUBLIC_ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}"
_FORM = re.compile(PATTERN.encode())


def make(*, is_live: bool) -> tuple[str, str]:
    """A new public id, and its key."""
    public_id = _letters(PUBLIC_ID_LENGTH)
    text = f"eo_{'live' if is_live else 'test'}_{public_id}_{_letters(_SECRET_LENGTH)}"
    return public_id, text + checksum(text.encode())


def is_mistyped(key: bytes) -> bool:
    """Whether it has the form and not the checksum. Any other text may be a key of the environment."""
    return _FORM.fullmatch(key) is not None and key[-_CHECKSUM_LENGTH:] != checksum(key[:-_CHECKSUM_LENGTH]).encode()


def checksum(text: bytes) -> str:
    """CRC-32 in base 62, with leading zeros."""
    left, digits = zlib.crc32(text), ""
    for _ in range(_CHECKSUM_LENGTH):
        left, digit = divmod(left, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _letters(count: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(count))
