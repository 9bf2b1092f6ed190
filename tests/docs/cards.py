"""The sandbox's test cards as docs/sandbox.md shows them."""

from sandbox.cards import CARDS, Card
from tests.docs.parts import table

_ORDINARY = Card()
_REFUNDS = {
    "later": "its refunds are `pending` for a minute",
    "fails": "its refunds succeed, and fail a minute later",
    "asks": "its refunds are `requires_action` until they are ended",
}
_THEN = {
    "inquiry": "an inquiry follows",
    "warning": "a warning of fraud follows",
    "fraudulent": "is disputed as `fraudulent`",
    "product_not_received": "is disputed as `product_not_received`",
}


def cards() -> str:
    """The table of test cards."""
    rows = ((f"`{token}`", card.last4, _face(card), _behaviour(card)) for token, card in CARDS.items())
    return table(("token", "ends in", "card", "what happens"), rows)


def _face(card: Card) -> str:
    unusual = [word for word, usual in ((card.funding, "credit"), (card.country, "US")) if word != usual]
    return " ".join([card.brand, *unusual])


def _behaviour(card: Card) -> str:
    first = {"always": "asks its owner; then ", "on_session_only": "asks its owner when present; then "}
    then = "pays"
    if card.decline is not None:
        code = f"`{card.decline.code}`"
        then = f"declines: {code}, `{card.decline.decline_code}`" if card.decline.decline_code else f"declines: {code}"
        then += ", blocked by Radar" if card.decline.blocked else ""
    ends = {"later": ", after a second in `processing`", "on_request": ", when it is told to, out of `processing`"}
    checks = ", ".join(
        f"{name} check `{result}`"
        for name, result, usual in (
            ("CVC", card.cvc, _ORDINARY.cvc),
            ("address", card.line1, _ORDINARY.line1),
            ("postal code", card.zip_code, _ORDINARY.zip_code),
        )
        if result != usual
    )
    extra = [checks] if checks else []
    extra += ["available at once"] if card.available_at_once else []
    extra += [_REFUNDS[card.refund]] if card.refund in _REFUNDS else []
    extra += [_THEN[card.then]] if card.then else []
    extra += ["elevated risk"] if card.risk == "elevated" else []
    return first.get(card.authenticate, "") + then + ends.get(card.ends, "") + "".join(f"; {word}" for word in extra)
