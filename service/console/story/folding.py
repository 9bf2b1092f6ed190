"""What repeats is told once and counted, so that a payment that was asked for 300 times stays a picture. Pure."""

from collections import Counter
from collections.abc import Sequence

from service.console.story.model import Kind, Scene, band

_PERIOD_MAX = 6  # scenes that may repeat together
_ALIKE_MIN = 4  # repeats from which the middle ones are folded: the first and the last are shown
SCENES_MAX = 120  # scenes of a picture; of more the middle is counted
_FIRST = 80  # of those that are shown, how many stand before what is counted


def fold(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes, with each run of repeats in one scene that counts it, and no more than SCENES_MAX of them."""
    folded: list[Scene] = []
    place = 0
    while place < len(scenes):
        period, times = _run(scenes, place)
        if times < _ALIKE_MIN:
            folded.append(scenes[place])
            place += 1
            continue
        end = place + period * times
        middle = scenes[place + period : end - period]
        folded += [*scenes[place : place + period], _repeated(middle, times - 2), *scenes[end - period : end]]
        place = end
    return _shortened(folded)


def _run(scenes: Sequence[Scene], place: int) -> tuple[int, int]:
    """How many scenes repeat from this one on, and how often: whatever folds most."""
    best = (1, 1)
    for period in range(1, min(_PERIOD_MAX, (len(scenes) - place) // _ALIKE_MIN) + 1):
        times = 1
        while _alike(scenes, place, place + times * period, period):
            times += 1
        if times >= _ALIKE_MIN and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def _alike(scenes: Sequence[Scene], one: int, other: int, count: int) -> bool:
    return other + count <= len(scenes) and all(
        scenes[one + n].like == scenes[other + n].like and scenes[one + n].of == scenes[other + n].of
        for n in range(count)
    )


def _repeated(scenes: Sequence[Scene], times: int) -> Scene:
    once = scenes[: len(scenes) // times]
    steps = ", ".join(arrow.text for scene in once for arrow in scene.arrows)
    return _counted(scenes, f"{times} times more the same", steps, f"The same {times} times more: {steps}.")


def _shortened(scenes: list[Scene]) -> list[Scene]:
    if len(scenes) <= SCENES_MAX:
        return scenes
    last = SCENES_MAX - _FIRST - 1
    middle = scenes[_FIRST:-last]
    names = Counter(scene.name for scene in middle for _ in scene.events)
    counted = ", ".join(f"{count} {name}" for name, count in names.most_common())
    more = _counted(middle, f"{names.total()} events more", counted, f"Then came {counted}.")
    return [*scenes[:_FIRST], more, *scenes[-last:]]


def _counted(scenes: Sequence[Scene], text: str, small: str, tells: str) -> Scene:
    events = tuple(place for scene in scenes for place in scene.events)
    return Scene(
        at=scenes[0].at,
        events=events,
        name="more",
        tells=tells,
        arrows=(band(Kind.FOLD, text, small),),
    )
