"""What the API says of a wrong body is for a person: no pattern, no path of ours."""

from typing import Any

import pytest

from service.foundation.errors import BadRequest
from service.orders.model import OrderRequest
from service.web.body import decode, encode

ORDER: dict[str, Any] = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"currency": "USD"}, "three lower-case letters"),
        ({"currency": "usd\n"}, "three lower-case letters"),
        ({"payment_method": "tok_visa"}, "pm_"),
        ({"customer": "12"}, "cus_"),
        ({"metadata": {"eo_mine": "1"}}, "does not begin with eo_"),
        ({"metadata": {"a[b]": "1"}}, "without [ and ]"),
    ],
)
def test_a_pattern_is_said_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode(encode(ORDER | wrong), OrderRequest)
    assert words in str(refused.value)
    assert next(iter(wrong)) in str(refused.value)
    assert "regex" not in str(refused.value)
    assert "^" not in str(refused.value)
