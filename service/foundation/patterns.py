"""Words for regular expressions, so that a person can read what a decoder says of a text that does not match."""

import re

_MATCHING = re.compile(r"(?P<what>.*) matching regex '(?P<pattern>.*)'(?P<where> - at .*)?", re.DOTALL)
# By the beginning of the pattern, as the decoder quotes it.
_WORDS = {
    "^[a-z]{3}": "a code of three lower-case letters, say usd",
    "^pm_": "the id of a payment method: pm_ and then letters, digits or _",
    "^cus_": "the id of a customer: cus_ and then letters, digits or _",
    "^(?!eo_)": "a name without [ and ] that does not begin with eo_",
}


def in_words(message: str) -> str:
    """The message with words in the place of a pattern; unchanged where there is none."""
    found = _MATCHING.fullmatch(message)
    if found is None:
        return message
    words = (words for start, words in _WORDS.items() if found["pattern"].startswith(start))
    return f"Expected {next(words, 'a text of another form')}{found['where'] or ''}"
