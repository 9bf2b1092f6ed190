"""Readiness: whether an order can be accepted now, and paid.

`unavailable` means that a POST would not be confirmed, `degraded` that orders are accepted and something keeps them
from being paid. One look answers all requests of a second, so that frequent requests cost nothing.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Literal

import msgspec

from service.foundation import log
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.monitoring.heartbeats import SILENT_S
from service.monitoring.probes import (
    COUNTED_MAX,
    BrokerProbe,
    BrokerState,
    DatabaseProbe,
    OutboxState,
    why_not_published,
    why_not_stored,
    why_not_stored_in_public,
)
from service.sweeps import Late

SHARED_S = 1.0  # for how long one look answers all requests
DOOR_STUCK_S = 3.0  # a batch that waits longer may not be confirmed; a stuck key's lock ends after 2 s
_WAIT = "Orders are accepted, charges wait."

Word = Literal["ok", "degraded", "unavailable"]


class Readiness(msgspec.Struct, frozen=True):
    """The answer of /health/ready. `checks`: each check's reason, or `ok`. `reasons`: only those that are not well."""

    status: Word
    checks: dict[str, str]
    reasons: list[str]


class ReadyCheck:
    """Looks for one API process, at most once a second. `commit_waits_s` is how long its oldest batch has waited."""

    def __init__(self, settings: Settings, commit_waits_s: Callable[[], float]) -> None:
        self._due_max_s = settings.outbox_lease_s
        self._commit_waits_s = commit_waits_s
        self._database = DatabaseProbe(settings)
        self._broker = BrokerProbe(settings.redis_url) if settings.redis_url else None
        self._look: asyncio.Task[Readiness] | None = None
        self._looked_at = float("-inf")
        self._told = ""

    async def ask(self) -> Readiness:
        """The result of the last look, or of a new one where that is older than a second. It raises nothing."""
        if self._look is None or (self._look.done() and monotonic() - self._looked_at > SHARED_S):
            self._looked_at = monotonic()
            self._look = asyncio.create_task(self._all())
        # A request that is cancelled must not cancel the look that others wait for.
        return await asyncio.shield(self._look)

    async def close(self) -> None:
        """Close the connections."""
        if self._look is not None:
            self._look.cancel()
        await self._database.close()
        if self._broker is not None:
            await self._broker.close()

    async def _all(self) -> Readiness:
        checks = {"postgres": "ok", "door": self._of_commits()}
        (database, outbox), broker = await asyncio.gather(self._ask_database(), self._ask_broker())
        checks |= database | broker | outbox
        reasons = [reason for reason in checks.values() if reason != "ok"]
        if checks["postgres"] != "ok" or checks["door"] != "ok":
            return Readiness("unavailable", checks, reasons)
        return Readiness("degraded" if reasons else "ok", checks, reasons)

    def _of_commits(self) -> str:
        waits_s = self._commit_waits_s()
        if waits_s <= DOOR_STUCK_S:
            return "ok"
        return (
            f"PostgreSQL has not confirmed the oldest orders at the door for {waits_s:.0f} s. Look at its log, its disk"
            " and its synchronous standby, and at the network between."
        )

    async def _ask_database(self) -> tuple[dict[str, str], dict[str, str]]:
        try:
            found = await self._database.look()
        except Exception as error:  # noqa: BLE001  a health check reports any error
            self._tell(why_not_stored(error))
            return {"postgres": why_not_stored_in_public(error)}, {}
        self._told = ""
        return {"postgres": "ok"}, {
            "memory": "ok"
            if found.is_verified
            else f"Stripe is still to be asked what this database may have forgotten. {_WAIT} `eo recover` tells more.",
            **self._of_outbox(found.outbox),
            "sweeps": _of_sweeps(found.late),
        }

    def _tell(self, why: str) -> None:
        """Log a new reason. The answer has only its kind, because it needs no API key."""
        if why != self._told:
            self._told = why
            log.event(Event.READINESS_LOST, why=why)

    def _of_outbox(self, outbox: OutboxState) -> dict[str, str]:
        checks = {"outbox": "ok", "parked": "ok"}
        if outbox.due_s > self._due_max_s:
            checks["outbox"] = (
                f"The order that is due longest has been waiting for {outbox.due_s:.0f} s, {counted(outbox.waiting)} in"
                " all. See whether a relay and workers run and keep up (`eo status`)."
            )
        if outbox.parked:
            checks["parked"] = f"{counted(outbox.parked)} parked for a human. See `eo outbox list --parked`."
        return checks

    async def _ask_broker(self) -> dict[str, str]:
        if self._broker is None:
            return {"redis": f"REDIS_URL names no Redis. {_WAIT} Set it and start again."}
        try:
            found = await self._broker.look()
        except Exception as error:  # noqa: BLE001  as above
            return {"redis": f"{why_not_published(error)}. {_WAIT}"}
        return {"redis": "ok", **_of_fleet(found)}


def _of_fleet(found: BrokerState) -> dict[str, str]:
    checks = {"stripe": "ok"}
    if found.standstill is not None:
        checks["stripe"] = f"Nothing is sent to Stripe ({found.standstill.reason}). {_WAIT}"
    elif found.unanswered is not None:
        checks["stripe"] = f"{found.unanswered}. {_WAIT}"
    for part, work in (("relay", "publishes orders"), ("worker", "charges orders")):
        beats = [beat for beat in found.beats if beat.process.part == part]
        if any(beat.is_alive for beat in beats):
            checks[part] = "ok"
        elif beats:
            still_s = min(beat.age_s for beat in beats)
            checks[part] = (
                f"No {part} has moved for {still_s:.0f} s, so nobody {work}. {_WAIT} Look at its process and its log."
            )
        else:
            checks[part] = f"No {part} runs (none moved in the last {SILENT_S:.0f} s). {_WAIT} Start `eo {part}`."
    return checks


def _of_sweeps(late: list[Late]) -> str:
    if not late:
        return "ok"
    worst = max(late, key=lambda one: one.late_s)
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return (
        f"Stripe's list of {worst.kind}{more} has not been read to its end for {worst.late_s / 60:.0f} min, so what no"
        " event told is not known here. See whether a relay runs, and why in its log (`sweep.incomplete`)."
    )


def counted(number: int) -> str:
    """A number of orders in words; counting ends at COUNTED_MAX."""
    if number > COUNTED_MAX:
        return f"more than {COUNTED_MAX} orders"
    return "1 order" if number == 1 else f"{number} orders"
