"""Object ids: Stripe's prefixes, then the time and random characters.

Ids begin with the time they were made, so that new ones land at the end of every index. With ids in random order each
charge touches a dozen scattered pages and costs twice as much.
"""

import random
import string
import time

# In ASCII order, so that text compares as the number it spells.
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_TIME_LENGTH = 8
# Seeded by the system: two runs on one data file must never make the same id.
_dice = random.Random()  # noqa: S311  ids here are no secrets
_getrandbits, _random = _dice.getrandbits, _dice.random


def new_id(prefix: str, length: int = 24) -> str:
    """`new_id("pi_")` → `pi_` and 24 characters: the time in 8, the rest random."""
    return prefix + _time() + noise(length - _TIME_LENGTH)


def noise(length: int) -> str:
    """Random hexadecimal digits."""
    return f"{_getrandbits(4 * length):0{length}x}"


def digits(length: int) -> str:
    """Random decimal digits, as card networks number things."""
    return f"{int(_random() * 10**length):0{length}d}"


def _time() -> str:
    """Units of 2^15 ns (33 µs) since the epoch in base 62: eight digits last beyond the year 2100."""
    rest, low = divmod(time.time_ns() >> 15, 3844)
    rest, third = divmod(rest, 3844)
    high, second = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[second] + _PAIRS[third] + _PAIRS[low]
