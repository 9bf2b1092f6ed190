"""Whether a text shows the test card: four digits alone also stand in one random id of some thousands."""

import re

_CARD = re.compile(r"4242[^0-9]?4242|(?<![0-9a-zA-Z.-])4242(?![0-9a-zA-Z-])")


def shows_the_card(text: str) -> bool:
    """The number (with or without separators), or its last four digits as a word of their own."""
    return _CARD.search(text) is not None
