"""The calls of an effect at Stripe: opened, called, answered; which calls had no answer, and who took over. Pure."""

import re
from dataclasses import dataclass, field

from service.console.story.model import Arrow, Bar, Event, Kind, Lane, note

_NO_ANSWER = "No answer had come back: the worker died or was cut off, and its lease ended. "
_POSTS = {"charge": "POST a charge", "change": "POST a change", "refund": "POST a refund"}
_WISHES = {"charge": "to charge", "capture": "to capture", "cancel": "to cancel", "refund": "to give the money back"}
_FOUND = re.compile(r"(\d+) found, (complete|inconclusive) listing$")
_LISTED = "200 object"  # what a list showed, asked for by nobody's call


@dataclass(slots=True)
class Called:
    """What is known so far of the calls of one effect."""

    sends: int = 0
    opens: int = 0
    call: str = ""  # that has no answer yet
    workers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """What one event of an effect adds to the picture and to the text."""

    tells: str
    arrows: tuple[Arrow, ...]
    bar: Bar | None = None


def wish_of(noun: str, event: Event) -> str:
    """What is asked of Stripe: `charge`, `capture`, `cancel`, `refund`."""
    return str(event.get("kind", noun)) if noun == "change" else noun


def delivered(text: str, small: str = "", kind: Kind = Kind.ASK) -> Arrow:
    """The promise comes to a worker: published by the relay, delivered by the broker."""
    return Arrow(kind, Lane.OUTBOX, Lane.WORKER, text, small, via=Lane.BROKER)


def called(noun: str, event: Event, known: Called) -> Part:
    """A call begins. A call before it that has no answer never gets one."""
    arrows: list[Arrow] = []
    tells, bar = "", Bar.BEGINS
    if known.call:
        arrows.append(note(Kind.LOST, Lane.WORKER, "silent: its lease ended", "died, or was cut off"))
        tells, bar = _NO_ANSWER, Bar.BREAKS
    if known.opens > 0 or noun != "charge":
        what = "due: delivered" if known.opens == 0 else "due again: delivered again"
        arrows.append(delivered(what, _worker(event)))
    arrows.append(_ask(noun, event, known))
    tells += _tells_call(noun, event, known)
    known.opens += 1
    known.call = event["call"]
    known.sends += event["call"] == "send"
    if worker := event.get("worker"):
        known.workers.append(worker)
    return Part(tells, tuple(arrows), bar)


def _worker(event: Event) -> str:
    return f"worker {event['worker']}" if "worker" in event else ""


def _ask(noun: str, event: Event, known: Called) -> Arrow:
    call = event["call"]
    if call == "send":
        again = "the same request again" if known.sends else _POSTS[noun]
        small = "same bytes, same Idempotency-Key" if known.sends else "Idempotency-Key, committed before"
        return Arrow(Kind.ASK, Lane.WORKER, Lane.STRIPE, again, small)
    texts = {"lookup": "search Stripe's lists for it", "cancel": "POST a cancellation"}
    return Arrow(Kind.ASK, Lane.WORKER, Lane.STRIPE, texts.get(call, "GET it: how does it stand?"))


def _tells_call(noun: str, event: Event, known: Called) -> str:
    who = _who(event, known)
    if event["call"] == "lookup":
        return f"{who} did not know what Stripe had done, and searched Stripe's lists for it."
    if event["call"] == "cancel":
        return f"{who} asked Stripe to cancel the payment."
    if event["call"] != "send":
        return f"{who} asked Stripe how it stands."
    if known.sends:
        over = "took over and " if known.call else ""
        return f"{who} {over}sent Stripe the same request again, under the same key."
    return f"{who} asked Stripe {_WISHES.get(wish_of(noun, event), 'to do it')}."


def _who(event: Event, known: Called) -> str:
    """A worker by its name, where it is known, and whether it is another one than the last."""
    worker = event.get("worker")
    if worker is None:
        return "A worker" if known.opens else "The worker"
    if not known.workers:
        return f"Worker {worker}"
    return f"Worker {worker}" if known.workers[-1] == worker else f"Another worker ({worker})"


def answered(event: Event, known: Called) -> Part:
    """What came back; where it is the answer to a question that is not an event of its own, the question too."""
    word = str(event["answer"])
    asked = known.call or event.get("call", "")
    known.call = ""
    part = _by_hand(word) or _of_list(word) or _of_stripe(event, word, asked)
    if "alarm" in event:
        part = Part(f"{part.tells} {_alarm(event)}", (*part.arrows, *noted(event).arrows), part.bar)
    if "call" in event:
        ask = Arrow(Kind.ASK, Lane.WORKER, Lane.STRIPE, "GET it: how does it stand?")
        return Part(f"Stripe was asked how it stands. {part.tells}", (ask, *part.arrows))
    return part


def _by_hand(word: str) -> Part | None:
    """What ended without an answer of Stripe's."""
    if word == "ended by hand":
        return Part("An operator ended it by hand.", (note(Kind.HUMAN, Lane.WORKER, word),), Bar.ENDS)
    if word.startswith("dropped unsent"):
        tells = "It was dropped: nothing of it was ever sent, and the order wants no charge any more."
        return Part(tells, (note(Kind.STATE, Lane.WORKER, "dropped unsent"),), Bar.ENDS)
    if word.startswith("abandoned"):
        tells = "The worker did not call after all: its lease was too short for a call."
        return Part(tells, (note(Kind.STATE, Lane.WORKER, "not called: the lease was too short"),), Bar.ENDS)
    return None


def _of_list(word: str) -> Part | None:
    """What Stripe's lists showed."""
    if (match := _FOUND.match(word)) is None:
        return None
    found, whole = int(match[1]), match[2] == "complete"
    if found:
        tells = f"Stripe's lists show {found} of it: it was executed, and nothing is sent again."
        arrow = Arrow(Kind.ABSORBED, Lane.STRIPE, Lane.WORKER, f"{found} found in the lists", "not sent again")
    elif whole:
        tells = "Stripe's lists were read to their end and do not show it."
        arrow = Arrow(Kind.ANSWER, Lane.STRIPE, Lane.WORKER, "0 found, complete listing")
    else:
        tells = "Stripe's lists could not be read to their end: nothing is concluded from that."
        arrow = Arrow(Kind.REFUSAL, Lane.STRIPE, Lane.WORKER, "0 found, inconclusive listing")
    return Part(tells, (arrow,), Bar.ENDS)


def _of_stripe(event: Event, word: str, asked: str) -> Part:
    """What Stripe said, or that it said nothing."""
    request = event.get("request_id") or ""
    small = " · ".join(part for part in (request, _ms(event), _object(event)) if part)
    named = f" (request {request})" if request else ""
    back = (Lane.STRIPE, Lane.WORKER)
    if not word[:3].isdigit() or "not Stripe's" in word or "unreadable" in word:
        tells = f"No answer that can be trusted came back ({word}): nobody knows yet whether Stripe did it."
        return Part(tells, (Arrow(Kind.LOST, *back, f"no answer: {word}", small),), Bar.ENDS)
    if word == _LISTED:
        tells = "One of Stripe's lists shows it: what it says there is settled."
        return Part(tells, (Arrow(Kind.ANSWER, *back, "seen in a list of Stripe's", small),), Bar.ENDS)
    if event.get("replayed"):
        tells = f"Stripe had done it before and repeated its answer, {word}{named}: nothing was done twice."
        arrow = Arrow(Kind.ABSORBED, *back, f"{word}, replayed", small)
        return Part(tells, (arrow,), Bar.ENDS)
    if word.startswith("200"):
        return Part(f"Stripe answered {word}{named}.", (Arrow(Kind.ANSWER, *back, word, small),), Bar.ENDS)
    return _refusal(event, word, small, named, asked)


def _refusal(event: Event, word: str, small: str, named: str, asked: str) -> Part:
    tells = f"Stripe {'declined' if word.startswith('402') else 'refused'}: {word}{named}."
    if "refused" in event:
        tells += f" That is no fault of the order ({event['fault']}), which does not fail by it."
    elif asked == "send" and word.startswith(("409", "429", "5")):
        tells += " That decides nothing: it is asked again later."
    return Part(tells, (Arrow(Kind.REFUSAL, Lane.STRIPE, Lane.WORKER, word, small),), Bar.ENDS)


def _ms(event: Event) -> str:
    return f"{event['ms']} ms" if "ms" in event else ""


def _object(event: Event) -> str:
    return str(event.get("stripe_refund") or event.get("payment_intent") or "")


def _alarm(event: Event) -> str:
    return f"An alarm was noted, and nothing was booked on that: {event['alarm']}."


def noted(event: Event) -> Part:
    """What is neither a call nor an answer."""
    if "alarm" in event:
        return Part(_alarm(event), (note(Kind.BAD, Lane.WORKER, "alarm", str(event["alarm"])),))
    said = event.get("reason") or event.get("refused") or event.get("status") or "something worth knowing"
    return Part(f"Noted: {said}.", (note(Kind.STATE, Lane.WORKER, str(said)),))
