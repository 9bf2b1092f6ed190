"""What looks like a card number is refused wherever it stands; ordinary ids are not."""

from uuid import uuid4

import pytest
import uuid_utils

from service.errors import BadRequest
from service.screening import has_card_number, screen

CARDS = [
    "4242424242424242", "4000056655665556", "5555555555554444", "2223003122003222", "378282246310005",
    "6011111111111117", "3056930009020004", "36227206271667", "3566002020360505", "6200000000000005",
]  # fmt: skip


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(
    "frame", ["{}", "card {}", "x={};", "order_{}", "{} 12/30", "2 {}", "12 {} 123", "a\n{}\nb", "Karte: {}."]
)
def test_a_card_number_is_found_in_any_company(card: str, frame: str) -> None:
    spaced = " ".join(card[i : i + 4] for i in range(0, len(card), 4))
    for spelling in (card, spaced, spaced.replace(" ", "-")):
        assert has_card_number(frame.format(spelling)), spelling


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",
        "2026-11-24-00012345",
        "1764000000000",
        "424242424242",
        "pm_card_visa",
        "cart:17",
        "0" * 16,
        "",
    ],
)
def test_ordinary_values_pass(text: str) -> None:
    assert not has_card_number(text)


def test_uuids_practically_never_look_like_cards() -> None:
    made = [str(uuid4()) for _ in range(5000)] + [str(uuid_utils.uuid7()) for _ in range(5000)]
    assert sum(map(has_card_number, made)) <= 5


def test_two_harmless_strings_are_never_joined_into_a_card() -> None:
    screen(["42424242", "42424242"])


def test_a_refusal_says_nothing_of_the_content() -> None:
    with pytest.raises(BadRequest) as refused:
        screen(["4242424242424242"])
    assert "4242" not in refused.value.detail
    with pytest.raises(BadRequest):
        screen(["a\x00b"])
