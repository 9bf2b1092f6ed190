"""The generated parts of docs/explanation/protocol.md: the states as diagrams, and each rule's schedule."""

from collections.abc import Callable, Mapping
from functools import partial

from service.states import CHARGE_TRANSITIONS, ORDER_TRANSITIONS
from tests.docs.parts import table
from tests.model.checker import Result, check
from tests.model.effects.interleavings import INTERLEAVINGS
from tests.model.effects.rules import RULES_OF_EFFECTS, RuleOfEffects
from tests.model.rules import RULES, RULES_OF_LIVES, Rule, RuleOfLives

AnyRule = Rule | RuleOfLives | RuleOfEffects


def diagram(table: Mapping[str, frozenset[str]], first: str) -> str:
    """A table of transitions as a Mermaid state diagram. Staying where one is says nothing and is left out."""
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {first}"]
    for old, news in table.items():
        lines += [f"  {old} --> {new}" for new in sorted(news) if new != old]
        if not news:
            lines.append(f"  {old} --> [*]")
    return "\n".join([*lines, "```"])


def schedule(rule: AnyRule, result: Result) -> str:
    """A rule, what is done without it, and the shortest schedule in which that goes wrong."""
    steps = "\n".join(f"{n}. {step}" for n, step in enumerate(result.schedule, 1))
    return f"{rule.says}\nWithout it: {rule.without}\n\n{steps}\n\n**Broken: {result.wrong}.**"


def _searched(rule: AnyRule) -> str:
    return schedule(rule, rule.check())


def interleaving_row(name: str, result: Result) -> str:
    """An interleaving, and how many states it has, as a row of the page's table."""
    return f"| {name} | {result.states:,} |"


def _interleavings() -> str:
    rows = (interleaving_row(name, check(model)) for name, model in INTERLEAVINGS.items())
    return "\n".join([table(("one order", "states"), []), *rows])


# By the name of the part. The first cost nothing, each of the second a search through a model.
DIAGRAMS: dict[str, Callable[[], str]] = {
    "orders": partial(diagram, ORDER_TRANSITIONS, "pending"),
    "charges": partial(diagram, CHARGE_TRANSITIONS, "sending"),
}
SCHEDULES: dict[str, Callable[[], str]] = {
    "interleavings of effects": _interleavings,
    **{rule.part: partial(_searched, rule) for rule in (*RULES, *RULES_OF_LIVES, *RULES_OF_EFFECTS)},
}
