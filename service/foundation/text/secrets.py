"""Texts without what must not be written anywhere: keys, tokens, signatures, card numbers (R30). Pure."""

import re

from service.foundation.text.screening import has_card_number

HIDDEN = "[hidden]"

_NO_DIGITS = bytes(code for code in range(128) if not chr(code).isdigit())
_SHORTEST_CARD = 13  # digits
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Stripe's keys, signing secrets and client secrets; our own keys; whatever follows a word that announces a credential.
_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|rk|ek)_(?:live|test|org)_[A-Za-z0-9_]{4,}"
    r"|(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]{4,}"
    r"|(?<![A-Za-z0-9])[a-z]{2,10}_[A-Za-z0-9]+_secret_[A-Za-z0-9]{4,}"
    r"|(?<![A-Za-z0-9])eo_(?:live|test)_[A-Za-z0-9_]{4,}"
    r"|\b(?:[bB](?:earer|asic)|BEARER|BASIC)[ +]+[A-Za-z0-9+/=._~-]{12,}"
    r"|\b[vV]1=[0-9a-f]{64}"
)


def has_secret(text: str) -> bool:
    """Whether something in `text` is a key, a token or a signature by its form."""
    # A first look, at a tenth of the cost: each form has one of these in it.
    may = "_" in text or "1=" in text or "earer" in text or "asic" in text or "EARER" in text or "ASIC" in text
    return may and _SECRET.search(text) is not None


def scrubbed(text: str) -> str:
    """`text` with HIDDEN for each secret in it; only HIDDEN where a person would read a card number in it."""
    if _may_show_card(text) and has_card_number(text):
        return HIDDEN
    return _SECRET.sub(HIDDEN, text) if has_secret(text) else text


def _may_show_card(text: str) -> bool:
    """A first look: whether the text has enough digits, or may be made of them, and is no id of ours."""
    if text.isascii() and "&" not in text and "%" not in text:
        return len(text.encode().translate(None, _NO_DIGITS)) >= _SHORTEST_CARD and not _UUID.fullmatch(text)
    return True
