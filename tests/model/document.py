"""The generated parts of docs/explanation/protocol.md: the states as diagrams, and each rule's schedule."""

from collections.abc import Callable, Mapping
from functools import partial

from service.states import CHARGE_TRANSITIONS, ORDER_TRANSITIONS
from tests.model.checker import Result
from tests.model.rules import RULES, RULES_OF_LIVES, Rule, RuleOfLives


def diagram(table: Mapping[str, frozenset[str]], first: str) -> str:
    """A table of transitions as a Mermaid state diagram. Staying where one is says nothing and is left out."""
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {first}"]
    for old, news in table.items():
        lines += [f"  {old} --> {new}" for new in sorted(news) if new != old]
        if not news:
            lines.append(f"  {old} --> [*]")
    return "\n".join([*lines, "```"])


def schedule(rule: Rule | RuleOfLives, result: Result) -> str:
    """A rule, what is done without it, and the shortest schedule in which that goes wrong."""
    steps = "\n".join(f"{n}. {step}" for n, step in enumerate(result.schedule, 1))
    return f"{rule.says}\nWithout it: {rule.without}\n\n{steps}\n\n**Broken: {result.broken}.**"


def _searched(rule: Rule | RuleOfLives) -> str:
    return schedule(rule, rule.check())


# By the name of the part. The first cost nothing, each of the second a search through a model.
DIAGRAMS: dict[str, Callable[[], str]] = {
    "orders": partial(diagram, ORDER_TRANSITIONS, "pending"),
    "charges": partial(diagram, CHARGE_TRANSITIONS, "sending"),
}
SCHEDULES: dict[str, Callable[[], str]] = {rule.part: partial(_searched, rule) for rule in (*RULES, *RULES_OF_LIVES)}
