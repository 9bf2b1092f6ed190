"""Nothing that looks like a card number comes in, and nothing that PostgreSQL cannot store (PROTOCOL R30, P8).

Pure. A caller who sends a card number must learn it at once and find it nowhere: not in the answer, a log or a table.
What is looked for: 13 to 19 digits, grouped by single spaces or dashes or not at all, with a card brand's first digits
and a right check digit (Luhn), standing free of letters. A caller's own numeric id of that length can look the same
by chance (about 1 in 25 when it starts like a card): prefix such ids with a letter.
"""

import re
from collections.abc import Iterable, Iterator

from service.errors import BadRequest

_RUN = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){12,}(?![0-9A-Za-z])")
_GROUP = re.compile(r"[0-9]+")
_DIGITS_MIN, _DIGITS_MAX = 13, 19
# Mastercard 2221-2720 and 51-55, Diners and Amex 30 34 36-39, JCB 35, Visa 4, Maestro 50 56-58 6, Discover, UnionPay 6.
_BRAND = re.compile(r"2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[04-9]|4|5[0-8]|6")
_DOUBLED = str.maketrans("0123456789", "0246813579")  # Luhn: twice a digit, its own digits added up


def screen(strings: Iterable[str]) -> None:
    """Return where every string of a request may be stored. Raises BadRequest, which says nothing of the content."""
    joined = "\n".join(strings)
    if "\x00" in joined:
        raise BadRequest("A string contains the character U+0000, which cannot be stored.", code="string-invalid")
    if has_card_number(joined):
        raise BadRequest(
            "A field contains what looks like a card number. Send a PaymentMethod (pm_…) instead; nothing was stored.",
            code="card-data-rejected",
        )


def has_card_number(text: str) -> bool:
    """Whether `text` has something that looks like a card number anywhere in it."""
    return any(
        _BRAND.match(digits) and _luhn_holds(digits) for run in _RUN.finditer(text) for digits in _spellings(run[0])
    )


def _spellings(run: str) -> Iterator[str]:
    """Every way to read neighbouring groups of a run as one number: `12 4242 4242 4242 4242 12` hides a card inside."""
    groups = _GROUP.findall(run)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > _DIGITS_MAX:
                break
            if len(digits) >= _DIGITS_MIN:
                yield digits


def _luhn_holds(digits: str) -> bool:
    backwards = digits[::-1]
    total = sum(map(int, backwards[::2])) + sum(map(int, backwards[1::2].translate(_DOUBLED)))
    return total % 10 == 0
