"""Every schedule of one refund that Stripe tells of: events before our commit, twice, late, never (R38).

The refund is made by a worker, pends, succeeds, and fails days later. Each step of it at Stripe is told by an event,
which may be sent twice, in any order, or be dropped. A relay reads the object that an event made dirty, and settles it
later than it read. The sweep does the same whenever it likes; it is not counted on where no event is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tests.model.checker import Move

NOTHING, PENDING, SUCCEEDED, FAILED = range(4)  # what Stripe, or our row, says of the refund
MOVES = (SUCCEEDED, FAILED)  # each of these has one booking: the money goes, and comes back
RULES = {
    "in hand": "What a worker has in its hands is looked at again. Without it: its event is settled at once.",
    "those that were there": "A look settles the events that came before it read. Without it: all of the object's.",
    "forward": "A state that was read earlier changes nothing that is known since. Without it: the last one writes.",
    "stored first": "An event is stored before it is acknowledged. Without it: afterwards.",
    "once": "A booking has a reference that is unique. Without it: each settling books.",
}


class Look(NamedTuple):
    """A relay has read the object, and not settled it yet. events: the dirty ones that were there when it began."""

    shown: int
    events: frozenset[int]


class State(NamedTuple):
    """Everything there is. Events are told by the state that they tell, and how often each can still be sent."""

    stripe: int = NOTHING
    row: int = NOTHING
    worker: Literal["none", "open", "answered", "gone"] = "none"
    answer: int = NOTHING
    leased: bool = False
    promised: bool = True  # the outbox row
    booked: tuple[int, int] = (0, 0)
    sent: tuple[int, int, int] = (0, 0, 0)  # how often the event of each state may still come
    dirty: frozenset[int] = frozenset()
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class Hearing:
    """off: the rule that is left out. drops: events may be lost, and lists are swept."""

    off: str = ""
    drops: bool = False

    def start(self) -> State:
        return State()

    def canonical(self, s: State) -> State:
        return s

    def is_final(self, s: State) -> bool:
        """Nothing is left to be done, and both sides say the same."""
        is_done = not s.promised and not s.dirty and s.look is None
        return is_done and s.row == s.stripe and s.booked == tuple(int(s.stripe >= move) for move in MOVES)

    def broken_promise(self, s: State) -> str | None:
        """What is wrong with this state."""
        if max(s.booked) > 1:
            return "one movement of money is on the books twice"
        if s.row > s.stripe:
            return "the database says what never happened"
        if not self.drops and self._is_quiet(s) and not self.is_final(s):
            return "all is quiet, and the database does not say what Stripe says"
        return None

    def _is_quiet(self, s: State) -> bool:
        """Nobody has anything left to do, and every event has come."""
        has_work = s.promised or s.dirty or s.look is not None or s.worker in ("open", "answered")
        return not has_work and not any(s.sent)

    def moves(self, s: State) -> Iterator[Move[State]]:
        yield from self._worker(s)
        yield from self._stripe(s)
        yield from self._relay(s)

    def _worker(self, s: State) -> Iterator[Move[State]]:
        if s.promised and not s.leased and s.worker in ("none", "gone"):
            yield Move("a worker opens the refund", s._replace(worker="open", leased=True), works=True)
        if s.worker == "open":
            made = s if s.stripe else _made(s, PENDING)
            yield Move("Stripe answers the worker", made._replace(worker="answered", answer=made.stripe), works=True)
        if s.worker == "answered":
            settled = self._settled(s, s.answer)
            done = settled._replace(worker="gone", leased=False, promised=s.answer < SUCCEEDED and s.row < SUCCEEDED)
            yield Move("the worker settles its answer", done, works=True)
        if s.worker in ("open", "answered"):
            yield Move("the worker dies, and its lease ends", s._replace(worker="gone", leased=False))

    def _stripe(self, s: State) -> Iterator[Move[State]]:
        if PENDING <= s.stripe < FAILED:
            yield Move("at Stripe the refund goes on", _made(s, s.stripe + 1), works=s.stripe == PENDING)
        for told in (PENDING, SUCCEEDED, FAILED):
            if not s.sent[told - 1]:
                continue
            came = s._replace(sent=_with(s.sent, told - 1, s.sent[told - 1] - 1))
            yield Move(f"the event of state {told} comes", came._replace(dirty=s.dirty | {told}), works=True)
            if self.drops:
                yield Move(f"the event of state {told} is dropped", s._replace(sent=_with(s.sent, told - 1, 0)))
            if self.off == "stored first":
                lost = s._replace(sent=_with(s.sent, told - 1, 0))
                yield Move(f"the event of state {told} is acknowledged, and the api dies", lost)

    def _relay(self, s: State) -> Iterator[Move[State]]:
        if s.look is not None:
            yield Move("the relay settles what it has read", self._looked(s, s.look), works=True)
        elif s.dirty and s.leased and not s.row:
            if self.off == "in hand":
                yield Move("the relay settles the event", s._replace(dirty=frozenset()), works=True)
        elif s.dirty:
            yield Move("the relay reads the refund", s._replace(look=Look(s.stripe, s.dirty)), works=True)
        elif self.drops and not s.leased and s.stripe and s.row != s.stripe:
            yield Move("the sweep reads the refund", s._replace(look=Look(s.stripe, frozenset())), works=True)

    def _looked(self, s: State, look: Look) -> State:
        settled = self._settled(s, look.shown)
        left = s.dirty - look.events if self.off != "those that were there" else frozenset[int]()
        return settled._replace(look=None, dirty=left, promised=s.promised and settled.row < SUCCEEDED)

    def _settled(self, s: State, shown: int) -> State:
        """The database after one settling of what Stripe showed."""
        if shown < s.row and self.off != "forward":
            return s
        since = 0 if self.off == "once" else s.row
        booked = tuple(n + (since < move <= shown) for n, move in zip(s.booked, MOVES, strict=True))
        return s._replace(row=shown, booked=(min(booked[0], 2), min(booked[1], 2)))


def _made(s: State, status: int) -> State:
    """Stripe moves the refund, and makes an event of it, which may come twice."""
    return s._replace(stripe=status, sent=_with(s.sent, status - 1, 2))


def _with(sent: tuple[int, int, int], place: int, times: int) -> tuple[int, int, int]:
    one, two, three = (times if n == place else now for n, now in enumerate(sent))
    return one, two, three
