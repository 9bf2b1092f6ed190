"""The picture of an order: every event is in it once, in the order of time, and no text stands on another."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise, product
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.console.story import Scene, draw, scenes_of, summary, text_of
from service.console.story.drawing import _SIGNS
from service.console.story.folding import SCENES_MAX, fold
from service.console.story.guards import GUARDS
from service.console.story.layout import TIMES_WIDTH, WIDTH, Text, lay_out
from service.console.story.model import Kind
from service.console.story.telling import TOLD
from service.duplicates import Guard
from service.orders.timeline import EVENTS
from tests.console.stories import ABOUT, BEGAN, GOLDEN, OF_THE_DOCS, STORIES, Events, of_the_docs, pictured, told

SVG = "{http://www.w3.org/2000/svg}"
# What only the console tells, and producers are not told.
OF_THE_CONSOLE = {"operator.acted"}

WORDS = st.text(max_size=300)
IDS = st.sampled_from(["a", "b"])
ANSWERS = st.sampled_from(
    [
        "200 succeeded",
        "200 object",
        "402 card_declined",
        "429 rate_limit",
        "500 api_error",
        "503 not Stripe's",
        "TimeoutError",
        "0 found, inconclusive listing",
        "0 found, complete listing",
        "1 found, complete listing",
        "ended by hand",
        "abandoned before the call: the lease was too short for it",
        "dropped unsent: the order wants no charge any more",
    ]
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("charge", "change", "refund"), IDS),
    "attempt": st.integers(1, 99),
    "call": st.sampled_from(["send", "lookup", "retrieve", "cancel"]),
    "worker": st.just("4242"),
    "answer": ANSWERS,
    "request_id": st.none() | WORDS,
    "replayed": st.booleans(),
    **dict.fromkeys(("reason", "waits_for", "next_step", "dispute", "fraud_type", "type", "reference", "actor"), WORDS),
    **dict.fromkeys(("fraud_warning", "stripe_event", "webhook_id", "alarm"), WORDS),
    "kind": st.sampled_from(["charge", "capture", "cancel", "refund", "fee"]),
    "status": st.sampled_from(["done", "refused", "succeeded", "failed", "won"]),
    "deliveries": st.integers(0, 999),
    "received": st.integers(1, 999),
    "tries": st.integers(1, 18),
    "times": st.integers(1, 99),
    "amount": st.integers(1, 10**12),
    "due_in_s": st.floats(-1e6, 1e6, allow_nan=False),
    "operation": st.sampled_from(["capture", "cancel", "pay", "refund"]),
    "source": st.sampled_from(["webhook", "sync"]),
    "guard": st.sampled_from(Guard),
    "actionable": st.booleans(),
    "via": st.just("console"),
    "action": st.just("outbox.retry"),
}
_OUTBOX = ("kind", "deliveries", "reason", "waits_for", "next_step")
HAS: dict[str, Sequence[str]] = {
    "outbox.promised": _OUTBOX,
    "outbox.due": ("due_in_s", *_OUTBOX),
    "outbox.parked": _OUTBOX,
    "charge.opened": ("charge", "attempt"),
    "operation.asked": ("operation",),
    **{
        f"{noun}.{word}": (noun, *more)
        for noun, (word, more) in product(
            ("charge", "change", "refund"),
            (("called", ("call", "worker", "kind")), ("answered", ("answer", "request_id", "replayed"))),
        )
    },
    **{f"{noun}.noted": (noun, "alarm") for noun in ("charge", "change", "refund")},
    **{f"{noun}.promised": (noun, "amount", "kind") for noun in ("change", "refund")},
    **{f"{noun}.ended": (noun, "status", "kind") for noun in ("change", "refund")},
    "dispute.told": ("dispute", "amount", "reason", "status"),
    "fraud_warning.told": ("fraud_warning", "fraud_type", "actionable"),
    "stripe.told": ("type", "stripe_event", "source", "received"),
    "notice.sent": ("type", "webhook_id", "tries"),
    "notice.parked": ("type", "webhook_id", "tries", "answer"),
    "ledger.booked": ("kind", "reference"),
    "operator.acted": ("actor", "via", "action", "reason"),
    "duplicate.absorbed": ("guard", "times"),
}


def _event(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"event": st.just(name)} | {field: FIELDS[field] for field in HAS.get(name, ())})


@st.composite
def timelines(draw: st.DrawFn) -> Events:
    """Whatever events, in the order of time; some parts of it repeat."""
    part = st.lists(st.sampled_from(sorted(TOLD)).flatmap(_event), min_size=1, max_size=6)
    parts = draw(st.lists(st.tuples(part, st.sampled_from([1, 1, 1, 2, 5, 60])), min_size=1, max_size=5))
    events = [event for part, times in parts for _ in range(times) for event in part]
    pauses = draw(st.lists(st.sampled_from([0.0, 0.02, 3.0, 4e5]), min_size=1, max_size=8))
    seconds = 0.0
    dated = []
    for number, event in enumerate(events):
        seconds += pauses[number % len(pauses)]
        dated.append({**event, "at": BEGAN + timedelta(seconds=seconds)})
    return dated


def _places(scenes: Sequence[Scene]) -> list[int]:
    return [place for scene in scenes for place in scene.events]


def _overlap(one: Text, other: Text) -> bool:
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one.box, other.box
    return left < right2 and left2 < right and top < bottom2 and top2 < bottom


def test_every_kind_of_event_has_a_scene() -> None:
    assert set(TOLD) == set(EVENTS) | OF_THE_CONSOLE


def test_every_guard_has_its_words() -> None:
    assert set(GUARDS) == set(Guard)


def test_every_kind_of_note_has_a_sign() -> None:
    assert set(_SIGNS) >= set(Kind) - {Kind.ASK, Kind.ANSWER, Kind.REFUSAL, Kind.BOOKED, Kind.TOLD}


@settings(max_examples=40, deadline=None)
@given(timelines())
def test_each_event_is_in_the_picture_exactly_once_and_in_the_order_of_time(events: Events) -> None:
    scenes = fold(scenes_of(ABOUT, events))
    assert _places(scenes) == list(range(len(events)))
    assert len(scenes) <= SCENES_MAX
    root = ET.fromstring(draw(scenes_of(ABOUT, events), title="t", description="d"))  # noqa: S314  we drew it
    drawn = [g for g in root if g.get("class") == "seq-scene"]
    assert [int(place) for g in drawn for place in g.get("data-events", "").split()] == list(range(len(events)))
    assert all(g.find(f"{SVG}title") is not None for g in root.iter(f"{SVG}g")), "every arrow has its words"


@settings(max_examples=40, deadline=None)
@given(timelines())
def test_no_text_stands_on_another_or_outside_the_picture(events: Events) -> None:
    picture = lay_out(fold(scenes_of(ABOUT, events)))
    texts = sorted(picture.texts(), key=lambda text: text.y)
    for number, text in enumerate(texts):
        left, top, right, bottom = text.box
        assert left >= 0, text
        assert right <= WIDTH, text
        assert top >= 0
        assert bottom <= picture.height
        near = [other for other in texts[number + 1 :] if other.y - text.y < 40]
        assert not [(text, other) for other in near if _overlap(text, other)]
        assert (right <= TIMES_WIDTH) == (text.anchor == "end"), "times have a column of their own"
    boxes = [row.box for strip in picture.strips for row in strip.rows if row.box is not None]
    assert all(left >= 0 and left + width <= WIDTH for left, _, width, _ in boxes)
    assert all(above.bottom <= below.top for above, below in pairwise(picture.strips))


@settings(max_examples=40, deadline=None)
@given(timelines())
def test_the_text_tells_every_scene(events: Events) -> None:
    scenes = scenes_of(ABOUT, events)
    lines = " ".join(text_of(ABOUT, scenes).split())
    for scene in fold(scenes):
        assert scene.tells
        assert " ".join(scene.tells.split()) in lines
    assert summary(scenes).startswith("Stripe was ")


def test_what_repeats_is_told_once_and_counted() -> None:
    scenes = fold(scenes_of(ABOUT, STORIES["parked"]()))
    (folded,) = [scene for scene in scenes if scene.name == "more"]
    assert folded.arrows[0].text == "11 times more the same"
    assert len(folded.events) == 22
    assert len(scenes) == 12


@pytest.mark.parametrize("name", STORIES)
def test_a_well_known_story_looks_as_it_did(name: str) -> None:
    """`python -m tests.console.stories` draws them anew; look at them before they are committed."""
    assert (GOLDEN / f"{name}.svg").read_text() == pictured(name)
    assert (GOLDEN / f"{name}.txt").read_text() == told(name)


def test_the_picture_of_the_docs_is_the_one_that_the_console_draws() -> None:
    """`python -m tests.console.stories` draws it anew."""
    assert OF_THE_DOCS.read_text() == of_the_docs()


def test_a_control_character_leaves_the_picture_well_formed() -> None:
    events = [{"at": BEGAN, "event": "outbox.parked", "kind": "charge", "deliveries": 1, "reason": "\x01<&]]>\ud83d"}]
    events[0] |= {"waits_for": "\x00", "next_step": '"'}
    ET.fromstring(draw(scenes_of(ABOUT, events), title="\x01", description="\x0b"))  # noqa: S314  we drew it
