"""The rules for names and reasons that people type and that are printed, listed and copied. Pure."""

import unicodedata

from service.foundation.errors import BadRequest
from service.foundation.text.glyphs import is_plain
from service.foundation.text.screening import screen

NAME_MAX, REASON_MAX = 100, 500  # characters


def checked(text: str, *, what: str, longest: int = NAME_MAX) -> str:
    """`text` in its composed form (NFC), so that texts that look the same are the same. Raises BadRequest.

    A control character would break a line of a table or a log, and an invisible one makes two names look like one.
    """
    text = unicodedata.normalize("NFC", text)
    if not text.strip():
        raise BadRequest(f"{what} must not be empty.", code="string-invalid")
    if len(text) > longest:
        raise BadRequest(f"{what} must have at most {longest} characters; it has {len(text)}.", code="string-invalid")
    if text != text.strip():
        raise BadRequest(f"{what} must not begin or end with a space.", code="string-invalid")
    if not is_plain(text):
        raise BadRequest(
            f"{what} must consist of characters that can be seen: no line feed, control character, zero-width "
            "character or change of direction.",
            code="string-invalid",
        )
    screen([text])
    return text
