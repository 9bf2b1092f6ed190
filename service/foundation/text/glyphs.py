"""Text as a person sees it: digits of every script as digits, and invisible characters as nothing. Pure."""

import unicodedata
from collections.abc import Callable
from typing import Final

RIGHT_TO_LEFT_OVERRIDE: Final = "\u202e"
_REMEMBERED_MAX = 4096  # characters, so that a caller who sends all of Unicode does not fill the memory
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters and a symbol that are drawn as nothing
_NOT_DRAWN = frozenset(("Cf", "Mn", "Me"))  # zero-width, soft hyphen, selectors; what is drawn over another character


class _Remembered(dict[int, str]):
    """What each character counts as. An entry is made when its character first appears."""

    def __init__(self, counts_as: Callable[[str], str]) -> None:
        super().__init__()
        self._counts_as = counts_as

    def __missing__(self, point: int) -> str:
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        seen = self[point] = self._counts_as(chr(point))
        return seen


def as_seen(text: str) -> str:
    """The text in ASCII, for a search for numbers: digits become 0-9, letters become x, other characters a space.

    ASCII stays as it is, and characters that are not drawn are left out. Only numbers can be read from the result.
    """
    return text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_NO_SIGNS)).translate(_AS_SEEN)


def is_plain(text: str) -> bool:
    """Whether every character of `text` can be seen, in the order in which it stands, or is a single space."""
    return all(character == " " or _is_drawn(character) for character in text)


def _seen(character: str) -> str:
    if character.isascii():
        return character
    if character in _INVISIBLE or unicodedata.category(character) in _NOT_DRAWN:
        return ""
    number = unicodedata.numeric(character, -1.0)  # also of Chinese numerals, which are letters otherwise
    if number in range(10):
        return str(int(number))
    return "x" if character.isalpha() else " "


def _unless_sign(character: str) -> str:
    """A space for a sign that normalization spells with letters (№, ™, ㎏), else the character itself."""
    if character.isascii() or unicodedata.category(character)[0] != "S":
        return character
    spelt = unicodedata.normalize("NFKC", character)
    return " " if any(c.isalpha() and unicodedata.numeric(c, -1.0) not in range(10) for c in spelt) else character


def _is_drawn(character: str) -> bool:
    # C: control, format, surrogate, private, unassigned. Z: separators other than the space.
    return unicodedata.category(character)[0] not in "CZ" and character not in _INVISIBLE


_AS_SEEN, _NO_SIGNS = _Remembered(_seen), _Remembered(_unless_sign)
