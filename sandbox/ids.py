"""Object ids: Stripe's prefixes and 24 letters and digits that say nothing."""

from __future__ import annotations

import random
import string

_ALPHABET = string.ascii_letters + string.digits
# Ids must differ between runs on one data file, never be guessed from a seed: the system's randomness seeds them.
_choices = random.Random().choices


def new_id(prefix: str, length: int = 24) -> str:
    """`new_id("pi_")` → `pi_` and 24 characters."""
    return prefix + "".join(_choices(_ALPHABET, k=length))
