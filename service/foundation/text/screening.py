"""Nothing that a person would read as a card number comes in, and nothing that PostgreSQL cannot store (R30, P8).

Pure. A caller who sends a card number must learn it at once and find it nowhere: not in the answer, a log or a table.
What is looked for, whatever stands between the digits and in whatever script they are written: as many digits as the
cards of a network have, that network's first digits, and a right check digit (Luhn).

A number of the caller's own can look the same by chance: 1 in 26 random numbers of 16 digits, since 39 of 100 start
like a card and 10 of 100 pass Luhn; 1 in 10 that start with the years 23 to 26, as Mastercard's do. A letter directly
before or after the digits says that they are no card.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote

from service.foundation.errors import BadRequest
from service.foundation.text.glyphs import RIGHT_TO_LEFT_OVERRIDE, as_seen

_DIGITS_MIN, _DIGITS_MAX = 13, 19
_BETWEEN_MAX = 8  # characters between two digits that an eye jumps over
_ENCODED_MAX = 3  # so often a text may have been percent-encoded, or made HTML, on its way
_APART = "\x00"  # between two strings that are looked at together; no string may contain it

# A first look, at the cost of a microsecond: 13 digits in a row once all but letters, digits and U+0000 is left out.
_CLASSES = bytes.maketrans(b"0123456789\x00", b"0000000000x")
_LEFT_OUT = bytes(code for code in range(1, 128) if not chr(code).isalnum())
_MANY_DIGITS = b"0" * _DIGITS_MIN

# Letters and U+0000 end a run of digits, anything else may stand inside.
_RUN = re.compile(rf"[0-9](?:[^0-9A-Za-z\x00]{{0,{_BETWEEN_MAX}}}+[0-9]){{{_DIGITS_MIN - 1},}}")
# A line of one character, or white space of any kind, is one gap to the eye.
_GAP = re.compile(r"\s{2,}|([^0-9A-Za-z\x00])\1{2,}")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_GROUP = re.compile(r"[0-9]+")
# A word that says "card" is no letter of an id.
_CARD_WORD = re.compile(
    r"(?i)(?:card|visa|amex|maestro|discover|cc|pan|karten?|carte|tarjeta)(?:no|nr|num|number|nummer)?$"
)
_AFTER_WORD = re.compile(r"(?i)(?:exp|cvc|cvv|cvn)")

# The first digits of each network's cards, and how many digits they have. docs/reference/http-api.md names the sources.
_NETWORKS = tuple(
    (re.compile(first), frozenset(lengths))
    for first, lengths in (
        (r"4", (13, 16, 18, 19)),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"30[0-59]|3[689]", (14, 16, 17, 18, 19)),  # Diners Club
        (r"35(?:2[89]|[3-8])", (16, 17, 18, 19)),  # JCB
        (r"2131|1800", (15,)),  # JCB, its oldest
        (r"6[02-57]|5[06-9]|8[12]", (16, 17, 18, 19)),  # Discover, UnionPay, Maestro, RuPay, Elo, Verve, Hipercard
        (r"62", (14, 15)),  # UnionPay
        (r"5018|5020|5038|5893|6304|6759|676[1-3]", (13, 14, 15)),  # Maestro
        (r"220[0-5]", (16, 17, 18, 19)),  # Mir, Borica
        (r"8600|9860|9792", (16,)),  # Uzcard, Humo, Troy
    )
)
_DOUBLED = str.maketrans("0123456789", "0246813579")  # Luhn: twice a digit, its own digits added up

# What is something else by its form is taken out before anybody looks.
_UUID = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])")
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,30}(?![0-9A-Za-z])")
_PHONE = re.compile(r"(?<![0-9A-Za-z+])\+[1-9](?:[ ()./-]{0,2}[0-9]){6,14}(?![ ()./-]{0,2}[0-9])")
_DATE = re.compile(
    r"(?<![0-9])(?:[0-3]?[0-9]([./-])[01]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([./-])[01]?[0-9]\2[0-3]?[0-9])"
    r"(?:[ ,T]{1,2}[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?)?(?!:?[0-9])"
)
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_ADDRESS = re.compile(rf"(?<![0-9.])(?:{_BYTE}\.){{3}}{_BYTE}(?!\.?[0-9])")
_DECIMAL = r"-?[0-9]{1,3}(?:[.,'][0-9]{3})*[.,][0-9]{2,8}"
_AMOUNTS = re.compile(rf"(?<![0-9.,'-]){_DECIMAL}(?:[,;]? {_DECIMAL})+(?![0-9]|[.,'][0-9])")
_THOUSANDS = re.compile(r"(?<![0-9.,'])[0-9]{1,3}(?:,[0-9]{3}){2,}\.[0-9]{2}(?![0-9]|[.,'][0-9])")
# A group by itself that is a moment: seconds or milliseconds since 1970 (2017 to 2033), or a day and its time (2020 to
# 2039).
_MOMENT = re.compile(
    r"(?<![0-9])(?:1[5-9][0-9]{8}(?:[0-9]{3})?"
    r"|20[23][0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2})(?![0-9])"
)
_OTHER = (_UUID, _PHONE, _DATE, _MOMENT, _ADDRESS, _AMOUNTS, _THOUSANDS)

# How cards are printed other than in equal groups: Amex, Diners, the oldest Visa, UnionPay and Visa with 19.
_PRINTED = {(4, 6, 5), (4, 6, 4), (4, 3, 3, 3), (6, 13), (4, 4, 4, 4, 3)}
_UATP = (4, 5, 6)
_BEFORE_MAX, _AFTER_MAX = 1, 3  # groups beside a card: the number of a line; month, year, CVC


class _Group(NamedTuple):
    between: str  # the characters between it and the group before
    digits: str


def screen(strings: Iterable[str]) -> None:
    """Return where every string of a request may be stored. Raises BadRequest, which says nothing of the content."""
    parts = list(strings)
    joined = _APART.join(parts)
    if joined.count(_APART) >= max(len(parts), 1):
        raise BadRequest("A string contains the character U+0000, which cannot be stored.", code="string-invalid")
    if has_card_number(joined):
        raise BadRequest(
            "A field contains what looks like a card number. Send a PaymentMethod (pm_…) instead; nothing was stored.",
            code="card-data-rejected",
        )


def has_card_number(text: str) -> bool:
    """Whether a person would read something in `text` as a card number."""
    return any(
        _has_many_digits(string) and _shows_card(string)
        for seen in _views(text)
        if _has_many_digits(seen)
        for string in seen.split(_APART)
    )


def _views(text: str) -> Iterator[str]:
    """The text as it is seen here, in a browser, and by one who reads from the right."""
    yield as_seen(text)
    if "%" in text or "&" in text or "<" in text:
        yield from map(as_seen, _decoded(text))
    if RIGHT_TO_LEFT_OVERRIDE in text:
        yield as_seen(text)[::-1]


def _decoded(text: str) -> Iterator[str]:
    """What software shows that takes the text for a part of an address or for HTML, also where it was made so twice."""
    for _ in range(_ENCODED_MAX):
        if "<" in text:
            yield _TAG.sub(" ", text)
        before, text = text, unescape(unquote(text))
        if text == before:
            return
        yield text


def _has_many_digits(seen: str) -> bool:
    return _MANY_DIGITS in seen.encode().translate(_CLASSES, _LEFT_OUT)


def _shows_card(seen: str) -> bool:
    plain = _IBAN.sub(_unless_iban, _GAP.sub(lambda gap: gap[0][0], seen))
    for other in _OTHER:
        plain = other.sub("x", plain)
    return any(_is_card(groups) for run in _RUN.finditer(plain) for groups in _readings(_groups(plain, run)))


def _unless_iban(found: re.Match[str]) -> str:
    text = found[0].replace(" ", "")
    number = int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4]))
    return "x" if number % 97 == 1 else found[0]


def _groups(text: str, run: re.Match[str]) -> list[_Group]:
    """The groups of digits of a run, without the first or last where letters make it a part of a word."""
    found, end = [], run.start()
    for group in _GROUP.finditer(text, run.start(), run.end()):
        found.append(_Group(text[end : group.start()], group[0]))
        end = group.end()
    before, after = text[max(run.start() - 12, 0) : run.start()], text[run.end() : run.end() + 3]
    starts_in_word = before[-1:].isalpha() and not _CARD_WORD.search(before)
    ends_in_word = after[:1].isalpha() and not _AFTER_WORD.match(after)
    return found[int(starts_in_word) : len(found) - int(ends_in_word)]


def _readings(groups: Sequence[_Group]) -> Iterator[Sequence[_Group]]:
    """Neighbouring groups that together have as many digits as a card, and that one would read as one number."""
    for first in range(len(groups)):
        digits = 0
        for end in range(first + 1, len(groups) + 1):
            digits += len(groups[end - 1].digits)
            if digits > _DIGITS_MAX:
                break
            if digits >= _DIGITS_MIN and _reads_as_one(groups, first, end):
                yield groups[first:end]


def _reads_as_one(groups: Sequence[_Group], first: int, end: int) -> bool:
    """One group, or all there is, or nearly all, or groups such as a card has; but no piece of a longer list."""
    sizes = tuple(len(group.digits) for group in groups[first:end])
    if len(sizes) in (1, len(groups)):
        return True
    if _is_piece_of_list(groups, first, end):
        return _is_pair_of_cards(groups, first, end)
    if first <= _BEFORE_MAX and len(groups) - end <= _AFTER_MAX:
        return True
    betweens = {group.between for group in groups[first + 1 : end]}
    return len(betweens) == 1 and (sizes in _PRINTED or (len({*sizes[:-1]}) == 1 and sizes[-1] <= sizes[0]))


def _is_piece_of_list(groups: Sequence[_Group], first: int, end: int) -> bool:
    """Whether the same goes on before or after: numbers of one length, four digits or more, with the same between."""
    inside, size = groups[first + 1 : end], len(groups[first].digits)
    if size < 4 or any(len(group.digits) != size or group.between != inside[0].between for group in inside):
        return False
    return (first > 0 and groups[first].between == inside[0].between and len(groups[first - 1].digits) == size) or (
        end < len(groups) and groups[end].between == inside[0].between and len(groups[end].digits) == size
    )


def _is_pair_of_cards(groups: Sequence[_Group], first: int, end: int) -> bool:
    """Whether the list goes on because more cards follow: four groups of four each, with no comma between."""
    as_printed = all(len(group.digits) == 4 for group in groups) and len(groups) % 4 == first % 4 == end % 4 == 0
    return as_printed and not any(mark in group.between for group in groups[1:] for mark in ",;")


def _is_card(groups: Sequence[_Group]) -> bool:
    """Whether a network has such cards, the check digit is right, and it is not the number of an article (EAN).

    Numbers that begin with 1 are too often a caller's own: one of UATP is known by how it is printed.
    """
    digits = "".join(group.digits for group in groups)
    is_uatp = digits.startswith("1") and tuple(len(group.digits) for group in groups) == _UATP
    return (
        (is_uatp or any(len(digits) in lengths and first.match(digits) for first, lengths in _NETWORKS))
        and _luhn_holds(digits)
        and not (len(digits) == 13 and _ean_holds(digits))
    )


def _luhn_holds(digits: str) -> bool:
    backwards = digits[::-1]
    return (sum(map(int, backwards[::2])) + sum(map(int, backwards[1::2].translate(_DOUBLED)))) % 10 == 0


def _ean_holds(digits: str) -> bool:
    return (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0
