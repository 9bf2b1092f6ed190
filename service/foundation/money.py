"""Money as Stripe counts it: an integer in the currency's minor unit, with a minimum, a maximum and a step.

Pure. The rules are from Stripe's page "Supported currencies". Amounts are checked before an order is accepted, so that
no order is accepted that Stripe must refuse. Stripe may still refuse one, because the minimum depends on the account's
settlement currency and some networks have lower maxima; then the order fails definitively.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from service.foundation.errors import BadRequest

# Presentment currencies with two decimals and no rule of their own, besides those named below.
_TWO_DECIMALS = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve
    czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt
    lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln
    qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd xcg yer
    zar zmw
""".split()
_ZERO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()
_THREE_DECIMALS = "bhd jod kwd omr tnd".split()
# Without decimals in real life, but sent with two for compatibility; the two must be 00.
_WHOLE_ONLY = ("isk", "ugx")

# HUF and TWD are charged with two decimals; their multiples of 100 concern payouts only.
_MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 15_00, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 175_00, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50,
    "mxn": 10_00, "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300,
    "sgd": 50, "thb": 10_00, "zar": 50,
}  # fmt: skip
_EIGHT_DIGITS = 99_999_999
_MAXIMUM = {
    "inr": 999_999_999, "idr": 999_999_999_999,
    "cop": 9_999_999_999, "huf": 9_999_999_999, "jpy": 9_999_999_999, "lbp": 999_999_999_999,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency's rules. All amounts are in its minor unit; `exponent` is how many decimals that unit has."""

    code: str
    exponent: int
    minimum: int
    maximum: int
    step: int


def _currency(code: str, exponent: int, step: int = 1) -> Currency:
    minimum = max(_MINIMUM.get(code, 1), step)
    maximum = _MAXIMUM.get(code, _EIGHT_DIGITS)
    return Currency(code, exponent, minimum, maximum - maximum % step, step)


CURRENCIES: dict[str, Currency] = {
    currency.code: currency
    for currency in (
        *(_currency(code, 2) for code in _TWO_DECIMALS),
        *(_currency(code, 0) for code in _ZERO_DECIMALS),
        *(_currency(code, 3, step=10) for code in _THREE_DECIMALS),
        *(_currency(code, 2, step=100) for code in _WHOLE_ONLY),
    )
}
AMOUNT_MAX = max(currency.maximum for currency in CURRENCIES.values())


def validate(amount: int, currency: str) -> Currency:
    """The rules of `currency`, which `amount` (minor units) must keep. Raises BadRequest, which names the broken rule.

    A float or a bool is refused, even where Python treats it as an integer.
    """
    rules = CURRENCIES.get(currency)
    if rules is None:
        raise BadRequest(
            "currency must be the lower-case ISO code of a currency Stripe can charge.",
            code="currency-unknown",
        )
    if type(amount) is not int:
        raise BadRequest("amount must be an integer in the currency's minor unit.", code="amount-invalid")
    if not rules.minimum <= amount <= rules.maximum:
        raise BadRequest(
            f"amount must be between {rules.minimum} and {rules.maximum} for {rules.code}"
            f" ({rules.exponent} decimals, in minor units).",
            code="amount-out-of-range",
        )
    if amount % rules.step:
        raise BadRequest(f"amount must be a multiple of {rules.step} for {rules.code}.", code="amount-not-a-multiple")
    return rules


def spelled(amount: int, currency: str) -> str:
    """The amount as people write it: `19.99 usd` for 1999."""
    exponent = CURRENCIES[currency].exponent if currency in CURRENCIES else 0
    return f"{Decimal(amount).scaleb(-exponent):,.{exponent}f} {currency}"


def parsed(text: str, currency: str) -> int:
    """The minor units of an amount that a person writes: 1999 for `19.99` of usd. Raises BadRequest."""
    exponent = CURRENCIES[currency].exponent
    decimals = rf"(\.[0-9]{{1,{exponent}}})?" if exponent else ""
    if not re.fullmatch(rf"[0-9]{{1,12}}{decimals}", text):
        example = spelled(1999, currency)
        raise BadRequest(f"The amount must be written like {example.split()[0]}, in {currency}.", code="amount-invalid")
    return int(Decimal(text).scaleb(exponent))
