"""Sets of words, written as one line of text: easier to read and to compare with Stripe's pages than a column."""


def words(text: str) -> frozenset[str]:
    """`words("usd eur")` → the set of both."""
    return frozenset(text.split())
