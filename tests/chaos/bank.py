"""What others do to the money at Stripe, meanwhile: banks dispute, payouts come and go, rates move, strangers pay.

All of it is done at the sandbox, past us: no process of ours is asked, and what events tell of it is the weather's.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

from sandbox import disputing, payouting
from tests.acceptance.fleet import Answer, Fleet, http

AWAY = (OSError, AssertionError, ValueError, HTTPException)  # the sandbox is dead, or at its worst
SETTLES_ELSEWHERE, IN = "jpy", "usd"
RATE = (0.6, 0.7)  # US cents for a yen
STRANGER = "stranger"  # the metadata of what is none of ours
_FORM = "application/x-www-form-urlencoded"
# How often each is done in one turn.
_ARGUED, _DISPUTED, _PAID_OUT, _PAYOUT_MOVED, _RATE_MOVED, _PAID_BY_A_STRANGER = 0.08, 0.25, 0.15, 0.3, 0.3, 0.15
_APART, _FEE_RETURNED, _FAILS_AFTER_ALL, _LISTED = 0.2, 0.3, 0.15, 0.5


def ask_stripe(fleet: Fleet, method: str, path: str, form: Mapping[str, str] | None = None, key: str = "") -> Answer:
    """One request to Stripe's own API, as its dashboard would make it."""
    headers = {"Authorization": f"Bearer {fleet.environ['STRIPE_API_KEY']}"}
    if form is not None:
        headers |= {"Content-Type": _FORM, "Idempotency-Key": key}
    return http(method, f"{fleet.stripe}/v1/{path}", headers, None if form is None else urlencode(form))


def all_at_stripe(fleet: Fleet, what: str) -> list[dict[str, Any]]:
    """Every object of one of Stripe's lists, newest first."""
    found: list[dict[str, Any]] = []
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = _page(fleet, f"{what}?limit=100{after}")
        found += page["data"]
        if not page["has_more"]:
            return found


def _page(fleet: Fleet, path: str) -> dict[str, Any]:
    answer = ask_stripe(fleet, "GET", path)
    assert answer.status == 200, answer
    return dict(answer.body)


class Bank:
    """Everybody but us, for one storm. `act` now and then; while the sandbox is away nothing happens."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._fleet = fleet
        self._chance = random.Random(f"bank:{seed}")
        self._strangers = 0

    def act(self) -> None:
        """One turn."""
        for deed in (self._exchange, self._argue, self._dispute, self._pay_out, self._move_payouts, self._visit):
            with suppress(*AWAY):
                deed()

    def _exchange(self) -> None:
        """The rate moves; at the first time the currency begins to settle in another one."""
        if not self.counts["rates"] or self._happens(_RATE_MOVED):
            rate = {"currency": SETTLES_ELSEWHERE, "settles_in": IN, "rate": f"{self._chance.uniform(*RATE):.4f}"}
            self._do("settlement", rate, "rates")

    def _argue(self) -> None:
        """Disputes go to any state that may follow."""
        for dispute in self._newest("disputes"):
            after = sorted(disputing.MAY_BECOME[dispute["status"]])
            if after and self._happens(_ARGUED):
                status = self._chance.choice(after)
                fee = disputing.FEE if status == "won" and self._happens(_FEE_RETURNED) else 0
                end = {"status": status, "fee_returned": fee, "apart": self._happens(_APART)}
                self._do(f"disputes/{dispute['id']}/end", end, f"dispute {status}")

    def _dispute(self) -> None:
        """Any payment may be disputed, wholly or in part, also one that was refunded or that is a stranger's."""
        charges = [one for one in self._newest("charges") if one["captured"] and not one["disputed"]]
        if charges and self._happens(_DISPUTED):
            charge = self._chance.choice(charges)
            amount = charge["amount_captured"] if self._happens(0.7) else charge["amount_captured"] // 2
            opening = {"status": self._any_of(disputing.Opened), "amount": amount, "apart": self._happens(_APART)}
            self._do(f"charges/{charge['id']}/dispute", opening, f"disputed: {opening['status']}")

    def _pay_out(self) -> None:
        if self._happens(_PAID_OUT):
            self.counts["paid out"] += len(self._fleet.control("POST", "payouts", {})["payouts"])

    def _move_payouts(self) -> None:
        """Payouts go to any state that may follow; one that arrived fails now and then."""
        for payout in self._newest("payouts"):
            after = sorted(payouting.MAY_BECOME[payout["status"]])
            moves = self._happens(_FAILS_AFTER_ALL if payout["status"] == "paid" else _PAYOUT_MOVED)
            if payout["reconciliation_status"] == "in_progress" and self._happens(_LISTED):
                self._do(f"payouts/{payout['id']}/reconcile", {}, "payouts that can be listed")
            if after and moves:
                status = self._chance.choice(after)
                was = payout["status"]
                self._do(f"payouts/{payout['id']}/end", {"status": status}, f"payout {was}, then {status}")

    def _visit(self) -> None:
        """Another program at the same Stripe account takes money."""
        if self._strangers and not self._happens(_PAID_BY_A_STRANGER):
            return
        self._strangers += 1
        form = {
            "amount": str(5_000 + self._strangers), "currency": "usd", "confirm": "true",
            "payment_method": "pm_card_visa", f"metadata[{STRANGER}]": str(self._strangers),
            "automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never",
        }  # fmt: skip
        if ask_stripe(self._fleet, "POST", "payment_intents", form, f"{STRANGER}-{self._strangers}").status == 200:
            self.counts["strangers paid"] += 1

    def _newest(self, what: str) -> Sequence[dict[str, Any]]:
        return list(_page(self._fleet, f"{what}?limit=100")["data"])

    def _do(self, path: str, body: object, word: str) -> None:
        self._fleet.control("POST", path, body)
        self.counts[word] += 1

    def _any_of(self, words: Any) -> str:
        return str(self._chance.choice(words.__args__))

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share


def is_ours(charge: Mapping[str, Any]) -> bool:
    """Whether a charge of Stripe's list was made by us."""
    return STRANGER not in charge["metadata"]
