"""Currencies: which exist, how small and how large a charge may be, what Stripe keeps of it.

All amounts are integers in minor units. The minimum is the charge currency's own, also where another one is settled in.
Source: Stripe's pages on currencies, minimum amounts and special cases; currencies without a published minimum
get the bound of their group below.
"""

from sandbox.errors import ApiError, invalid
from sandbox.words import words

# The currency of the account, in which an empty balance is zero.
DEFAULT = "usd"
ZERO_DECIMAL = words("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
THREE_DECIMAL = words("bhd jod kwd omr tnd")
# Sent times 100 although they have no minor unit, so only whole units are valid.
WHOLE_UNITS = words("isk ugx")
TWO_DECIMAL = words(
    """aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop
    crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs
    khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
    pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx
    usd uyu uzs wst xcd xcg yer zar zmw"""
)
SUPPORTED = ZERO_DECIMAL | TWO_DECIMAL | THREE_DECIMAL

MINIMUM = {
    "aed": 200, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000,
}  # fmt: skip
# Roughly 50 US cents in minor units, for currencies without a published minimum (rates of 2026, rounded down).
FIFTY_CENTS = {
    "all": 4000, "amd": 19000, "ars": 60000, "bdt": 6000, "bif": 1400, "clp": 450, "cop": 180000, "crc": 25000,
    "djf": 85, "dop": 3000, "dzd": 6500, "egp": 2400, "gnf": 4200, "idr": 800000, "isk": 6000, "jmd": 8000,
    "kes": 6400, "kmf": 210, "krw": 680, "kzt": 24000, "lak": 1050000, "lbp": 4400000, "lkr": 15000, "mga": 2200,
    "mmk": 105000, "mnt": 170000, "ngn": 75000, "npr": 6800, "php": 2800, "pkr": 14000, "pyg": 3700, "rsd": 5000,
    "rub": 4000, "rwf": 700, "try": 2000, "twd": 1500, "tzs": 125000, "uah": 2000, "ugx": 180000, "uyu": 2000,
    "uzs": 600000, "vnd": 12500, "vuv": 60, "xaf": 280, "xof": 280, "xpf": 51, "yer": 12000, "zar": 900,
}  # fmt: skip
DIGITS = {"inr": 9, "cop": 10, "huf": 10, "jpy": 10, "idr": 12, "lbp": 12}
DIGITS_DEFAULT = 8

SYMBOLS = {"eur": "€", "gbp": "£", "jpy": "¥", "usd": "$"}

FEE_PER_MILLE = 29
FEE_FIXED = 30


def check_amount(amount: int, currency: str, *, converted: bool = False) -> None:
    """Raise Stripe's error when `amount` cannot be charged in `currency` (which must be supported).

    `converted`: without a published minimum the bound is 50 US cents, as far as the table of rates reaches.
    """
    smallest = FIFTY_CENTS.get(currency, minimum(currency)) if converted else minimum(currency)
    if amount < smallest:
        raise _bound(f"Amount must be at least {_spelled(smallest, currency)}", "amount_too_small")
    largest = 10 ** DIGITS.get(currency, DIGITS_DEFAULT) - 1
    if amount > largest:
        raise _bound(f"Amount must be no more than {_spelled(largest, currency)}", "amount_too_large")
    step = 100 if currency in WHOLE_UNITS else 10 if currency in THREE_DECIMAL else 1
    if amount % step:
        raise _bound(f"Invalid {currency} amount: it must be a multiple of {step}", "parameter_invalid_integer")


def minimum(currency: str) -> int:
    """The smallest charge in minor units."""
    return MINIMUM.get(currency, 500 if currency in THREE_DECIMAL else 50)


def fee(amount: int, currency: str) -> int:
    """2.9 % rounded half up, plus 30 minor units (ten times that where a unit has three decimals)."""
    fixed = FEE_FIXED * 10 if currency in THREE_DECIMAL else FEE_FIXED
    return (amount * FEE_PER_MILLE + 500) // 1000 + fixed


def _spelled(amount: int, currency: str) -> str:
    """`50 usd` → `0.50 usd`, by integer arithmetic."""
    exponent = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if not exponent:
        return f"{amount} {currency}"
    major, minor = divmod(amount, 10**exponent)
    return f"{major}.{minor:0{exponent}d} {currency}"


def spelled_with_symbol(amount: int, currency: str) -> str:
    """`2000 usd` → `$20.00`, as Stripe's texts about refunds spell it."""
    number = _spelled(amount, currency).partition(" ")[0]
    return f"{SYMBOLS.get(currency, currency.upper())}{number}"


def _bound(message: str, code: str) -> ApiError:
    return invalid(message, code=code, param="amount")
