"""The plan of a run: which fault happens when, drawn from one seed. Both contenders get the same plan."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from service.foundation.crash import CrashPoint

# The crash points at which workers die, with the words that the screen shows for them.
MOMENTS = {
    CrashPoint.WORKER_BEFORE_OPEN: "before it did anything",
    CrashPoint.WORKER_REPLY_UNREAD: "after Stripe moved the money, before the answer was read",
    CrashPoint.WORKER_AFTER_REPLY: "after Stripe moved the money, before it was recorded",
    CrashPoint.WORKER_AFTER_SETTLE: "after it was recorded, before the message was acknowledged",
}
# Stripe's troubles, as shares of the requests. A reply is lost where it hurts: after the work is done.
TROUBLES: dict[str, float] = {
    "executed_reply_lost": 0.03,
    "executed_500": 0.02,
    "error_500_before": 0.03,
    "cut_body": 0.01,
    "rate_limited": 0.02,
}
TROUBLE_WORDS = {
    "executed_reply_lost": "moved the money, and the reply was lost",
    "executed_500": "moved the money, and answered 500",
    "error_500_before": "answered 500, nothing done",
    "cut_body": "moved the money, and the reply was cut in half",
    "rate_limited": "answered 429",
}
_ORDERS_PER_S = 40  # orders per second that two workers charge with ease, also while Stripe is slow
_REFUNDS_PER_S = 30
_EVERY = 3  # one of so many paid orders is refunded
_PART = 10  # one of so many parts of its amount goes back: Stripe itself refuses a copy only above the whole charge
RATES = (0.0, 0.0001, 0.05, 0.15)


@dataclass(frozen=True, slots=True)
class Plan:
    """The storm and the measurement after it. Times are seconds, shares are of 1."""

    seed: int
    orders: int  # placed during the storm
    storm_s: float  # they arrive evenly over this time
    refunds: int  # asked for after the storm, if all of its orders are paid
    refunds_s: float  # they are asked for evenly over this time
    deaths: int  # of workers while they charge, at the moments above
    refund_deaths: int  # of workers while they refund
    rate_orders: int  # per rate of duplicates, without a storm
    requests_twice: float = 0.05
    messages_twice: float = 0.10

    @classmethod
    def of(cls, *, seed: int, orders: int | None, minutes: float, quick: bool) -> "Plan":
        """About `minutes` of wall clock in all, or what shows everything in half of one."""
        storm_s = 6.0 if quick else max(6.0, minutes * 8.0)
        wanted = orders or int(storm_s * _ORDERS_PER_S)
        refunds = -(-wanted // _EVERY)
        return cls(
            seed,
            wanted,
            storm_s,
            refunds=refunds,
            refunds_s=min(storm_s, refunds / _REFUNDS_PER_S),
            deaths=3 if quick else 6,
            refund_deaths=2 if quick else 4,
            rate_orders=100 if quick else min(wanted, 500),
        )

    def dying(self) -> Iterator[tuple[CrashPoint, int]]:
        """For each next worker the crash point at which it dies, and how often it passes it before; in drawn order."""
        return self._dying("deaths", self.deaths, self.orders)

    def dying_of_refunds(self) -> Iterator[tuple[CrashPoint, int]]:
        """The same while orders are refunded."""
        return self._dying("refund deaths", self.refund_deaths, self.refunds)

    def _dying(self, what: str, deaths: int, work: int) -> Iterator[tuple[CrashPoint, int]]:
        chance = random.Random(f"{self.seed}:{what}")
        moments = list(MOMENTS)
        per_life = max(3, work // (2 * deaths + 2))
        for n in range(deaths):
            if n % len(moments) == 0:
                chance.shuffle(moments)
            yield moments[n % len(moments)], chance.randint(max(1, per_life // 4), max(2, per_life // 2))

    def refunded(self, paid: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Which of the paid orders are refunded, and how much of each, in minor units."""
        return [(order, amount // _PART) for order, amount in paid[::_EVERY]]

    def asking(self) -> dict[str, Any]:
        """How the refunds are asked for; drawn apart from the orders."""
        return {"seed": self.seed + 1, "over_s": self.refunds_s, "requests_twice": self.requests_twice}

    def troubles(self) -> dict[str, Any]:
        """The sandbox's fault plan. Only charges and refunds fail; reads succeed, so that both can be judged."""
        rules: list[dict[str, Any]] = [
            {"fault": fault, "probability": share, "method": "POST", "path": "(payment_intents|refunds)$"}
            for fault, share in TROUBLES.items()
        ]
        for rule in rules:
            if rule["fault"] == "error_500_before":
                # A 500 that Stripe saves under the key, with nothing done, is only known to be one a day later.
                rule["saved"] = False
        return {"seed": self.seed, "rules": rules}
