"""The faults at work. The supervisor calls `look` at each of its looks; `close` heals what is still at work."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Self

import msgspec

from service.chaos import TOUCHES, Answer, Ask, Board, Fault, Press, Switch, Witness
from service.foundation.errors import EffectivelyOnceError
from service.ops.chaos import deeds, on_the_data, on_workers
from service.ops.chaos.hands import Deed, Failed, Hands, Parts, Work
from service.ops.chaos.hotline import Hotline
from service.ops.embedded import Postgres, Valkey
from service.ops.installation import Installation

_SHOWN = 20  # faults that are remembered
SOCKET, SECRET = "EO_CHAOS_SOCKET", "EO_SANDBOX_SECRET"

DEEDS: Mapping[Switch, Callable[[Work], Deed]] = MappingProxyType(
    {
        Switch.KILL_AFTER_CHARGE: on_workers.kill_after_charge,
        Switch.LOSE_REPLIES: deeds.lose_replies,
        Switch.EMPTY_REDIS: deeds.empty_redis,
        Switch.DOUBLE: deeds.double,
        Switch.FREEZE: on_workers.freeze,
        Switch.KILL_WORKER: deeds.kill_part,
        Switch.KILL_RELAY: deeds.kill_part,
        Switch.KILL_API: deeds.kill_part,
        Switch.KILL_POSTGRES: deeds.kill_postgres,
        Switch.DAY: on_the_data.day,
        Switch.KEEP_COPY: on_the_data.keep_copy,
        Switch.FORGET: on_the_data.forget,
    }
)
# Switches that need a server of our own: one that the environment names is somebody else's.
_NEEDS = {
    Switch.EMPTY_REDIS: ("redis", Valkey),
    **dict.fromkeys((Switch.KILL_POSTGRES, Switch.DAY, Switch.KEEP_COPY, Switch.FORGET), ("postgres", Postgres)),
}


class Chaos:
    """A context manager: it listens from its making, tells the API where, and heals when it is left.

    `installation` has an embedded sandbox.
    """

    def __init__(self, installation: Installation, parts: Parts) -> None:
        self._hotline = Hotline(installation.folder)
        self._installation = installation
        on_the_data.discard(installation)  # of an `eo up` that was killed
        witness = Witness(installation.told["STRIPE_API_BASE"], installation.told[SECRET])
        self._hands = Hands(installation, parts, witness)
        api = installation.parts["api"]
        api.environ = {**(api.environ or {}), SOCKET: str(self._hotline.path)}  # nobody else is told
        self._numbers = count(1)
        self._shown: deque[Fault] = deque(maxlen=_SHOWN)
        self._working: dict[int, tuple[Work, Deed]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> None:
        """Answer who has asked, and take every fault at work one step further."""
        self._hotline.answer(self._reply)
        for number, (work, deed) in list(self._working.items()):
            if not self._step(work, deed):
                del self._working[number]

    def close(self) -> None:
        """End every fault, which heals what it did, and stop listening."""
        for work, deed in self._working.values():
            deed.close()
            self._ended(work)
        self._working.clear()
        self._hotline.close()
        on_the_data.discard(self._installation)

    def switches(self) -> list[Switch]:
        """What can be pressed here."""
        have = self._installation.parts
        return [s for s in Switch if s not in _NEEDS or isinstance(have.get(_NEEDS[s][0]), _NEEDS[s][1])]

    def _reply(self, line: bytes) -> bytes:
        try:
            press = msgspec.json.decode(line, type=Ask).press
            number, refused = (0, "") if press is None else (self._press(press), "")
        except Failed as error:
            number, refused = 0, str(error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            number, refused = 0, f"That is not a request: {error}"
        return msgspec.json.encode(Answer(self._board(), number, refused))

    def _press(self, press: Press) -> int:
        """Begin a fault; returns its number. Raises Failed where it cannot begin now."""
        if press.switch not in self.switches():
            raise Failed("That server is not one of `eo up`'s own, so it is left alone.")
        for work, _ in self._working.values():
            if (both := TOUCHES[press.switch] & TOUCHES[work.press.switch]) or press.switch is work.press.switch:
                what = f" ({', '.join(sorted(both))})" if both else ""
                raise Failed(f"Another fault is still at work there{what}. It ends by itself; try again then.")
        fault = Fault(next(self._numbers), press.switch, press.order, time.time())
        work = Work(self._hands, press, fault)
        self._shown.appendleft(fault)
        deed = DEEDS[press.switch](work)
        if self._step(work, deed):
            self._working[fault.number] = (work, deed)
        return fault.number

    def _step(self, work: Work, deed: Deed) -> bool:
        """Take it to its next wait; returns whether it is still at work."""
        try:
            next(deed)
        except StopIteration:
            self._ended(work)
        except (Failed, EffectivelyOnceError, OSError) as error:
            work.say(str(error))
            work.fault.failed = True
            self._ended(work)
        else:
            return True
        return False

    def _ended(self, work: Work) -> None:
        work.fault.ended = time.time()

    def _board(self) -> Board:
        hands = self._hands
        counted = dict(sorted(hands.injected.items()))
        at = hands.witness.address
        return Board(self.switches(), list(self._shown), counted, hands.copy_at, at, hands.witness.secret)
