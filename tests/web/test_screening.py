"""What a person would read as a card number is refused wherever it stands and however it is written; other numbers not.

The numbers are test cards: Stripe's (docs.stripe.com/testing), and those that Mir, Maestro and UnionPay publish.
"""

import random
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import uuid_utils

from service.foundation.errors import BadRequest
from service.foundation.text.glyphs import as_seen
from service.foundation.text.screening import has_card_number, screen
from tests.cards import shows_the_card
from tests.web.conftest import ORDER, Api, assert_problem

CARDS = """
4242424242424242 4000056655665556 4000000760000002 5555555555554444 2223003122003222 5200828282828210 5105105105105100
378282246310005 371449635398431 6011111111111117 6011000990139424 6011981111111113 3056930009020004 36227206271667
6555900000604105 3566002020360505 6200000000000005 6200000000000047 6205500000000000004 4222222222222 30569309025904
6759649826438453 6304000000000000 2200000000000004
""".split()
FRAMES = [
    "{}", "card {}", "x={};", "order_{}", "{} 12/30", "2 {}", "12 {} 123", "a\n{}\nb", "Karte: {}.", "1. {} 2. nothing",
    "{} exp 12/30 cvc 123", "Der Kunde: {} bitte", "(£5) {} é", "card{}", "CC:{}",
    "{}exp1230", "on 2026-11-24 {}", "cardnumber{}", "Kartennummer{}", "VisaNo{}", "№{}", "{}™", "{}℃",
]  # fmt: skip
SEPARATORS = [
    "", " ", "-", ".", "/", "_", ",", "\t", "\n", "\r\n", "  ", " - ", " / ", ", ", "|", ":", "*", "#", "+", "=", "'",
    "~", "\xa0", "\u2013", "\u2014", "\u2212", "\u200b", "\u00ad", "\ufe0f", "\u2060", "\u2028", "\u3000", "·", "•",
    "💳", "\x01",
]  # fmt: skip
SCRIPTS = [
    "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡",
    "⓪①②③④⑤⑥⑦⑧⑨", "⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉", "〇一二三四五六七八九",
]  # fmt: skip


def cut(card: str, sizes: Callable[[], int]) -> list[str]:
    found, at = [], 0
    while at < len(card):
        size = sizes()
        found.append(card[at : at + size])
        at += size
    return found


def spellings(card: str, between: str, draw: random.Random) -> list[str]:
    """In fours, digit by digit, in pairs, as Amex prints it, and anyhow."""
    ways: list[Callable[[], int]] = [lambda: 4, lambda: 1, lambda: 2, lambda: 8, lambda: draw.randint(1, 6)]
    return [between.join(cut(card, way)) for way in ways] + [between.join([card[:4], card[4:10], card[10:]])]


@pytest.mark.parametrize("between", SEPARATORS, ids=ascii)
def test_a_card_number_is_found_whatever_stands_between_its_digits(between: str) -> None:
    draw = random.Random(1)
    for card in draw.sample(CARDS, 8):
        for spelt in spellings(card, between, draw):
            missed = [frame for frame in FRAMES if not has_card_number(frame.format(spelt))]
            assert missed == [], spelt


def test_a_card_number_is_found_in_every_script_and_disguise() -> None:
    for digits in SCRIPTS:
        for card in CARDS:
            assert has_card_number(card.translate(str.maketrans(string.digits, digits))), digits
    for disguise in (
        "4\ufe0f\u20e32\ufe0f\u20e3" * 8,
        "4\u03322\u0332" * 8,
        "4242%204242%204242%204242",
        "%34%32" * 8,
        "4242&nbsp;4242&nbsp;4242&nbsp;4242",
        "&#52;&#50;" * 8,
        "\u202e" + "378282246310005"[::-1],
        "4242%25204242%25204242%25204242",
        "%2534%2532" * 8,
        "%252534%252532" * 8,
        "4242<br>4242<br />4242</p>\n<p class='x'>4242",
        "<td>4242</td>" * 4,
        "4242&lt;br&gt;" * 4,
        "%3Cx 4242 4242 4242 4242%3E",
        "4242      4242 \t\t\t\r\n 4242\n\n\n\n\n\n4242",
        "4242 ------ 4242 ------ 4242 ------ 4242",
        "4242 -=/=- 4242 -=/=- 4242 -=/=- 4242",
        "4" + "." * 30 + "242" + "." * 30 + "424242424242",
        "1354 12345 678911",
        "UATP: 1354-12345-678911 exp 12/30",
        "4242-4242 4242.4242",
        "4242 4242 4242 4242 5555 5555 5555 4444",
    ):
        assert has_card_number(disguise), ascii(disguise)


@pytest.mark.parametrize(
    "text",
    ["4242424242424241", "424242424242", "pm_card_visa", "cart:17", "0" * 16, "9" * 16, "", "A4242424242424242",
     "4242424242424242B", "ch_3N4242424242424242xy", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19",
     "+49 151 23456789", "+1 (415) 555-2671", "490154203237518", "4006381333931", "1764000000000",
     "1764000000000000000", "12 345 678 901 234 567 890", "4242 4242",
     "192.168.100.200 192.168.100.201", "4,242,424,242,424.24", "135412345678911", "NDI0MjQyNDI0MjQyNDI0Mg==",
     "34323432343234323432343234323432", "100 %25 of 42 < 4242 > 17 & 4242", "4242 of 4242, 4242 of 4242"],
)  # fmt: skip
def test_ordinary_values_pass(text: str) -> None:
    assert not has_card_number(text)


def digits(draw: random.Random, n: int) -> str:
    return "".join(draw.choices(string.digits, k=n))


def moment(draw: random.Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.uniform(0, 3e8))


def phone(draw: random.Random) -> str:
    rest = draw.choice(
        [f"{digits(draw, 3)} {digits(draw, 7)}", f"({digits(draw, 3)}) {digits(draw, 3)}-{digits(draw, 4)}"]
    )
    return f"+{draw.choice(['49', '1', '33', '55', '52', '54', '62', '351', '420'])} {rest}"


def iban(draw: random.Random) -> str:
    country, rest = draw.choice([("DE", digits(draw, 18)), ("FR", digits(draw, 23)), ("NL", "ABNA" + digits(draw, 10))])
    check = 98 - int("".join(str(int(letter, 36)) for letter in f"{rest}{country}00")) % 97
    text = f"{country}{check:02}{rest}"
    return draw.choice([text, " ".join(cut(text, lambda: 4))])


def article(draw: random.Random) -> str:
    first = draw.choice(["30", "37", "40", "45", "49", "50", "54"]) + digits(draw, 10)
    return first + str(-(sum(map(int, first[::2])) + 3 * sum(map(int, first[1::2]))) % 10)


NEVER: dict[str, Callable[[random.Random], str]] = {
    "order numbers with a date": lambda d: f"{moment(d):%Y-%m-%d}-{digits(d, 8)}",
    "order numbers with a letter": lambda d: f"R{digits(d, 16)}",
    "timestamps": lambda d: d.choice([f"{moment(d)}", f"{moment(d):%d.%m.%Y %H:%M:%S}", f"{moment(d):%Y%m%d%H%M%S%f}"]),
    "time spans": lambda d: f"{moment(d):%d.%m.%Y} - {moment(d):%d.%m.%Y}",
    "Unix times": lambda d: str(int(moment(d).timestamp() * d.choice([1, 10**3, 10**6, 10**9]))),
    "an order number, and the moment": lambda d: (
        f"order-{d.randint(100, 999_999)}-{int(moment(d).timestamp() * d.choice([1, 10**3]))}"
    ),
    "a moment without marks, and a number": lambda d: f"{moment(d):%Y%m%d%H%M%S}-{d.randint(1, 9_999)}",
    "phone numbers": phone,
    "order numbers in a table": lambda d: "".join(f"<tr><td>{d.randint(10_000, 99_999)}</td></tr>" for _ in range(8)),
    "columns of amounts": lambda d: "      ".join(f"{d.randint(1, 999)}.{digits(d, 2)}" for _ in range(6)),
    "15 digits that begin with 1": lambda d: f"1{digits(d, 14)}" if d.random() < 0.5 else f"10000{digits(d, 10)}",
    "two phone numbers": lambda d: f"{phone(d)}, {phone(d)}",
    "IBANs": iban,
    "UUIDs": lambda d: str(UUID(int=d.getrandbits(128), version=4)),
    "hashes": lambda d: f"{d.getrandbits(160):040x}",
    "article numbers (EAN)": lambda d: ", ".join(article(d) for _ in range(3)),
    "amounts": lambda d: ", ".join(f"{d.randint(1, 999)}.{digits(d, 2)}" for _ in range(6)),
    "long lists of numbers": lambda d: ", ".join(str(d.randint(1_000, 9_999)) for _ in range(10)),
    "places": lambda d: f"{d.uniform(-90, 90):.6f}, {d.uniform(-180, 180):.6f}",
}
# What looks like a card and is none: Luhn alone lets 10 of 100 through, first digits and lengths fewer.
SOMETIMES: dict[str, tuple[Callable[[random.Random], str], float]] = {
    "16 random digits": (lambda d: digits(d, 16), 4.4),
    "13 random digits": (lambda d: digits(d, 13), 1.4),
    "14 random digits": (lambda d: digits(d, 14), 0.8),
    "15 random digits": (lambda d: digits(d, 15), 0.7),
    "19 random digits": (lambda d: digits(d, 19), 3.4),
    "four amounts of four digits": (lambda d: ", ".join(str(d.randint(1_000, 9_999)) for _ in range(4)), 4.8),
    "two digits of a year, and 14": (lambda d: f"{moment(d):%y%m%d%H%M%S}{digits(d, 4)}", 7.0),
}


@pytest.mark.parametrize("make", NEVER.values(), ids=NEVER.keys())
def test_no_alarm_on(make: Callable[[random.Random], str]) -> None:
    draw = random.Random(2)
    assert [text for text in (make(draw) for _ in range(500)) if has_card_number(text)] == []


@pytest.mark.parametrize(("make", "percent"), SOMETIMES.values(), ids=SOMETIMES.keys())
def test_false_alarms_are_no_more_often_than_the_documentation_says(
    make: Callable[[random.Random], str], percent: float
) -> None:
    draw, of = random.Random(2), 2_000
    assert sum(has_card_number(make(draw)) for _ in range(of)) / of * 100 <= percent


def test_uuids_never_look_like_cards() -> None:
    assert not any(has_card_number(str(make())) for make in (uuid4, uuid_utils.uuid7) for _ in range(2_000))


def test_what_is_seen_has_no_other_characters_than_ascii() -> None:
    everything = "".join(map(chr, range(0, 0x30000, 5)))
    assert as_seen(everything).isascii()


def test_two_harmless_strings_are_never_joined_into_a_card() -> None:
    screen(["42424242", "42424242"])
    screen(["４２４２４２４２", "42424242"])


def test_a_refusal_says_nothing_of_the_content() -> None:
    with pytest.raises(BadRequest) as refused:
        screen(["4242424242424242"])
    assert not shows_the_card(refused.value.detail)
    with pytest.raises(BadRequest):
        screen(["a\x00b"])


async def test_a_request_id_that_is_a_card_number_is_replaced(api: Api) -> None:
    for sent in ("4242424242424242", "4242-4242-4242-4242", "order.4242.4242.4242.4242"):
        answer = await api.http.get("/health/live", headers={"X-Request-Id": sent})
        assert answer.headers["x-request-id"].startswith("req_")
    kept = await api.http.get("/health/live", headers={"X-Request-Id": "cart-17"})
    assert kept.headers["x-request-id"] == "cart-17"


@pytest.mark.parametrize(
    "card", ["4242.4242.4242.4242", "4242\u200b424242424242", "４２４２４２４２４２４２４２４２"], ids=ascii
)
async def test_a_card_number_is_refused_in_every_field(api: Api, card: str, caplog: pytest.LogCaptureFixture) -> None:
    changes: list[dict[str, Any]] = [{"description": card}, {"metadata": {card: "x"}}, {"metadata": {"x": card}}]
    bodies = [{**ORDER, "idempotency_key": "k", **change} for change in changes]
    for change in changes:
        assert_problem(await api.order("k", **change), 400, "card-data-rejected")
    answer = await api.http.post("/v1/orders/batch", json={"orders": bodies})
    assert [result["status"] for result in answer.json()["results"]] == [400, 400, 400]
    assert not shows_the_card(answer.text + caplog.text)


async def test_a_card_number_in_a_path_or_query_is_not_repeated(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    card = "4242424242424242"
    for path in (f"/v1/orders/{card}", f"/{card}", f"/v1/orders?cursor={card}", f"/v1/orders?{card}=1",
                 f"/v1/orders?idempotency_key={card}", f"/v1/ledger/entries?order_id={card}"):  # fmt: skip
        answer = await api.http.get(path)
        assert card not in answer.text
        assert card not in str(answer.headers)
    assert card not in caplog.text
