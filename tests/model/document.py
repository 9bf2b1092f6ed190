"""The generated parts of docs/protocol.md. `python -m tests.model.document` writes them anew."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.states import CHARGE_TRANSITIONS, ORDER_TRANSITIONS
from tests.model.checker import Result
from tests.model.rules import RULES, RULES_OF_LIVES, Rule, RuleOfLives

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
ALL_RULES: tuple[Rule | RuleOfLives, ...] = (*RULES, *RULES_OF_LIVES)
_PART = re.compile(r"<!-- generated: (?P<name>[^>]+) -->\n.*?<!-- end -->", re.DOTALL)


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


def parts(results: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    """Name and text of everything generated."""
    yield "orders", diagram(ORDER_TRANSITIONS, "pending")
    yield "charges", diagram(CHARGE_TRANSITIONS, "sending")
    for rule in ALL_RULES:
        if rule.part in results:
            yield rule.part, schedule(rule, results[rule.part])


def written(name: str, page: str) -> str | None:
    """What the page says in this part; None when it has no such part."""
    found = [m for m in _PART.finditer(page) if m["name"] == name]
    return found[0].group().split("\n", 1)[1].removesuffix("<!-- end -->").strip() if found else None


def rewritten(page: str, results: Mapping[str, Result]) -> str:
    """The page with its generated parts as they are now."""
    texts = dict(parts(results))
    return _PART.sub(lambda m: f"<!-- generated: {m['name']} -->\n{texts[m['name']]}\n<!-- end -->", page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(), {rule.part: rule.check() for rule in ALL_RULES}))
