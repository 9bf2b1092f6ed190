"""The plan of a run: which fault happens when, drawn from one seed. Both contenders get the same plan."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.foundation.crash import CrashPoint

# The crash points at which workers die, with the words that the screen shows for them.
MOMENTS = {
    CrashPoint.WORKER_BEFORE_OPEN: "before it did anything",
    CrashPoint.WORKER_REPLY_UNREAD: "after Stripe charged, before the answer was read",
    CrashPoint.WORKER_AFTER_REPLY: "after Stripe charged, before it was recorded",
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
    "executed_reply_lost": "charged, and the reply was lost",
    "executed_500": "charged, and answered 500",
    "error_500_before": "answered 500, nothing done",
    "cut_body": "charged, and the reply was cut in half",
    "rate_limited": "answered 429",
}
_ORDERS_PER_S = 40  # orders per second that two workers charge with ease, also while Stripe is slow
RATES = (0.0, 0.0001, 0.05, 0.15)


@dataclass(frozen=True, slots=True)
class Plan:
    """The storm and the measurement after it. Times are seconds, shares are of 1."""

    seed: int
    orders: int  # placed during the storm
    storm_s: float  # they arrive evenly over this time
    deaths: int  # of workers, at the moments above
    rate_orders: int  # per rate of duplicates, without a storm
    requests_twice: float = 0.05
    messages_twice: float = 0.10

    @classmethod
    def of(cls, *, seed: int, orders: int | None, minutes: float, quick: bool) -> "Plan":
        """About `minutes` of wall clock in all, or what shows everything in half of one."""
        storm_s = 6.0 if quick else max(6.0, minutes * 10.0)
        wanted = orders or int(storm_s * _ORDERS_PER_S)
        return cls(seed, wanted, storm_s, deaths=3 if quick else 8, rate_orders=100 if quick else min(wanted, 600))

    def dying(self) -> Iterator[tuple[CrashPoint, int]]:
        """For each next worker the crash point at which it dies, and how often it passes it before; in drawn order."""
        chance = random.Random(f"{self.seed}:deaths")
        moments = list(MOMENTS)
        per_life = max(3, self.orders // (2 * self.deaths + 2))
        for n in range(self.deaths):
            if n % len(moments) == 0:
                chance.shuffle(moments)
            yield moments[n % len(moments)], chance.randint(max(1, per_life // 4), max(2, per_life // 2))

    def troubles(self) -> dict[str, Any]:
        """The sandbox's fault plan. Only charging fails; reads succeed, so that both contenders can be judged."""
        rules: list[dict[str, Any]] = [
            {"fault": fault, "probability": share, "method": "POST", "path": "payment_intents"}
            for fault, share in TROUBLES.items()
        ]
        for rule in rules:
            if rule["fault"] == "error_500_before":
                # A 500 that Stripe saves under the key without having charged is only known to be one a day later.
                rule["saved"] = False
        return {"seed": self.seed, "rules": rules}
