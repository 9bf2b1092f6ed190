"""From the events of an order's timeline to its scenes. Each event has one, and a kind of event without one is red."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from service.console.story import around, calls, guards
from service.console.story.calls import Called, Part
from service.console.story.model import Event, Scene, Subject
from service.states import ORDER_STATUSES

_EFFECTS = ("charge", "change", "refund")


class Teller:
    """Tells one order's story, event by event; it remembers what was asked of Stripe and not answered."""

    def __init__(self, about: Subject) -> None:
        self.about = about
        self._known: dict[str, Called] = {}

    def scene(self, place: int, event: Event) -> Scene:
        """The scene of the event at this place of the timeline."""
        part = TOLD[event["event"]](self, event)
        of = next((str(event[noun]) for noun in _EFFECTS if noun in event), "")
        like = "|".join([event["event"], *(f"{a.kind}{a.source}{a.target}{a.text}" for a in part.arrows)])
        return Scene(
            at=event["at"],
            events=(place,),
            name=event["event"],
            tells=part.tells,
            arrows=part.arrows,
            of=of,
            bar=part.bar,
            like=like,
        )

    def opened(self, event: Event) -> Part:
        """A worker has written down what it is about to send."""
        self.known("charge", event).opens = 0
        attempt = event["attempt"]
        tells = (
            "The relay published the promise, the broker delivered it, and a worker wrote down what it was about to "
            f"send (attempt {attempt}): from now on it may have been executed."
        )
        return Part(tells, (calls.delivered("published, delivered", f"attempt {attempt} is written down"),))

    def known(self, noun: str, event: Event) -> Called:
        """What is known of the effect that the event is of."""
        return self._known.setdefault(str(event[noun]), Called())


Told = Callable[[Teller, Event], Part]


def _calls(noun: str) -> dict[str, Told]:
    return {
        f"{noun}.called": lambda teller, event: calls.called(noun, event, teller.known(noun, event)),
        f"{noun}.answered": lambda teller, event: calls.answered(event, teller.known(noun, event)),
        f"{noun}.noted": lambda _, event: calls.noted(event),
    }


def _owed(noun: str) -> dict[str, Told]:
    return {
        f"{noun}.promised": lambda teller, event: around.owed(noun, event, teller.about),
        f"{noun}.ended": lambda _, event: around.ended(noun, event),
    }


def _state(status: str) -> Told:
    return lambda _teller, _event: around.state(status)


TOLD: Mapping[str, Told] = {
    "order.accepted": lambda teller, event: around.accepted(event, teller.about),
    "order.adopted": lambda _teller, _event: around.adopted("payment"),
    **{f"order.{status}": _state(status) for status in ORDER_STATUSES},
    "outbox.promised": lambda _, event: around.promised(event),
    "outbox.due": lambda _, event: around.due(event),
    "outbox.parked": lambda _, event: around.parked(event),
    "charge.opened": Teller.opened,
    "operation.asked": lambda _, event: around.asked(event),
    **{name: told for noun in _EFFECTS for name, told in _calls(noun).items()},
    **{name: told for noun in ("change", "refund") for name, told in _owed(noun).items()},
    "refund.adopted": lambda _teller, _event: around.adopted("refund"),
    "dispute.told": lambda teller, event: around.disputed(event, teller.about),
    "fraud_warning.told": lambda _, event: around.suspected(event),
    "stripe.told": lambda _, event: around.told(event),
    "duplicate.absorbed": lambda _, event: guards.absorbed(event),
    "notice.sent": lambda _, event: around.sent(event),
    "notice.parked": lambda _, event: around.given_up(event),
    "ledger.booked": lambda _, event: around.booked(event),
    "operator.acted": lambda _, event: around.acted(event),
}


def scenes_of(about: Subject, events: Sequence[Event]) -> list[Scene]:
    """The scenes of these events, one each, in their order."""
    teller = Teller(about)
    return [teller.scene(place, event) for place, event in enumerate(events)]


def clock(at: datetime) -> str:
    """The moment, to the millisecond."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def since(began: datetime, at: datetime) -> str:
    """How long after the beginning, for people: `+20 ms`, `+8.1 s`, `+4 min`, `+2 d 3 h`."""
    return span(at - began) if at > began else "0 s"


def span(time: timedelta) -> str:
    """A length of time in the two units that say most."""
    seconds = time.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
