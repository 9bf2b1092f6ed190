"""Sets of words written as one line of text, which is easy to compare with Stripe's pages."""


def words(text: str) -> frozenset[str]:
    """`words("usd eur")` → the set of both."""
    return frozenset(text.split())
