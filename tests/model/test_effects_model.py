"""Every schedule of a charge, its changes and its refunds keeps its promises, and no rule can be left out."""

import inspect
import re

import pytest

from tests.docs.parts import written
from tests.model.checker import check
from tests.model.document import interleaving_row, schedule
from tests.model.effects import asking, facts, model, outside, stripe, working
from tests.model.effects.interleavings import INTERLEAVINGS
from tests.model.effects.rules import RULES_OF_EFFECTS, RuleOfEffects

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", INTERLEAVINGS)
def test_what_follows_a_charge_is_done_once_and_comes_to_an_end(name: str) -> None:
    result = check(INTERLEAVINGS[name])
    assert result.holds, str(result)
    assert interleaving_row(name, result) in (written("interleavings of effects") or ""), "run: make docs"


def test_the_interleavings_are_no_small_number_of_schedules() -> None:
    states = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+) \|", written("interleavings of effects") or "")]
    assert len(states) == len(INTERLEAVINGS)
    assert sum(states) > 100_000, "a model that explores little proves little"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", RULES_OF_EFFECTS, ids=lambda rule: rule.name)
def test_without_this_rule_of_effects_a_promise_is_broken(rule: RuleOfEffects) -> None:
    result = rule.check()
    assert result.wrong is not None, f"nothing breaks without {rule.name}: why is it there?"
    assert len(result.schedule) == rule.steps, str(result)
    assert written(rule.part) == schedule(rule, result), "run: make docs"


def test_every_rule_of_effects_that_can_be_off_is_shown() -> None:
    source = "".join(inspect.getsource(module) for module in (model, asking, outside, working, stripe, facts))
    assert {rule.name for rule in RULES_OF_EFFECTS} == set(re.findall(r'on\("([^"]+)"\)', source))
