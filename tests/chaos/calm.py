"""The calm after a storm: until nothing is on its way, everything is booked, and Stripe says nothing else."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import cycle

from tests.acceptance.fleet import Fleet
from tests.chaos.bank import all_at_stripe
from tests.chaos.both_balances import differences, looks_come_due, suspense
from tests.chaos.invariants import LIFE_DAYS, is_closed, is_quiet, what_is_left
from tests.chaos.monkey import Monkey

QUIET_WITHIN_S = 150.0
QUIET_BY_ITSELF_S = 15.0  # what is not on the books by then waits for Stripe's memory to end
AGREED_WITHIN_S = 60.0
LOOKED_AT_EVERY_S = 2.0  # what would be looked at again within a day, in the storm and in the calm after it


class Calm:
    """Everybody is up, and nobody asks for more. `pass_a_day` lets a day pass, `note` tells who watches."""

    def __init__(
        self, fleet: Fleet, monkey: Monkey, pass_a_day: Callable[[Monkey], None], note: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._monkey = monkey
        self._pass_a_day = pass_a_day
        self._note = note
        self._asked_at = 0.0

    def clear_up(self) -> int:
        """Wait by itself, then a day later, then with what a poison's guard had parked; returns how much that was."""
        self._come_to_rest()
        self._note("quiet")
        self._end_refunds()
        parked = self._parked()
        assert self._fleet.eo("outbox", "retry", "--all").returncode == 0
        self._come_to_rest()
        assert not self._parked(), f"parked again in calm weather: {what_is_left(self._fleet)}"
        self._end_refunds()
        # What nobody tells us: refunds that failed after they had succeeded, and those that were made past us.
        since = (datetime.now(UTC) - timedelta(days=LIFE_DAYS)).isoformat()
        self._fleet.eo("reconcile", "--heal", "--yes", "--since", since, EO_RECONCILE_GRACE_S="0")
        with suppress(AssertionError):  # then the verdict says what differs
            self._monkey.until(self._agrees, within_s=AGREED_WITHIN_S, what="Stripe says nothing else")
        self._note("both sides agree" if self._is_even() else "both sides differ")
        return parked

    def _come_to_rest(self) -> None:
        """By itself, or a day later: what was parked, too, may have a customer to wait for once it is brought back."""
        with suppress(AssertionError):
            self._monkey.until(lambda: is_quiet(self._fleet), within_s=QUIET_BY_ITSELF_S, what="quiet")
        self._end_refunds()
        if not is_quiet(self._fleet):
            self._note("some wait for Stripe's memory to end, for a customer, or for their money")
            self._pass_a_day(self._monkey)
        try:
            self._monkey.until(self._is_quiet, within_s=QUIET_WITHIN_S, what="everything is on the books")
        except AssertionError as error:
            error.add_note(what_is_left(self._fleet))
            raise

    def _end_refunds(self) -> None:
        """At Stripe: what ends by itself later ends now, and customers act or do not."""
        self._fleet.control("POST", "refunds/flush")
        endings = cycle(("succeeded", "failed", "canceled"))
        for refund in all_at_stripe(self._fleet, "refunds"):
            if refund["status"] == "requires_action":
                self._fleet.control("POST", f"refunds/{refund['id']}/end", {"status": next(endings)})

    def _is_quiet(self) -> bool:
        """Also for the zombies of an earlier life: what they may have sent is looked for by its second listing."""
        return is_quiet(self._fleet) and is_closed(self._fleet)

    def _agrees(self) -> bool:
        """Whether both sides say the same of disputes, payouts and the balance."""
        now = time.monotonic()
        if now < self._asked_at + LOOKED_AT_EVERY_S:
            return False
        self._asked_at = now
        looks_come_due(self._fleet)
        return self._is_even()

    def _is_even(self) -> bool:
        """Also what stands in suspense: it is cleared when it is looked at again after what it is of is known."""
        return next(differences(self._fleet), None) is None and next(suspense(self._fleet), None) is None

    def _parked(self) -> int:
        count: int = self._fleet.rows("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL")[0][0]
        return count
