"""Every schedule of the charge protocol keeps its promises, and none of its rules can be left out."""

import pytest

from tests.docs.parts import written
from tests.model.checker import check
from tests.model.document import schedule
from tests.model.protocol import RULES as CAN_BE_OFF
from tests.model.protocol import Model
from tests.model.rules import RULES, Rule

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.slow  # 20 s: some 180,000 states
def test_every_schedule_with_two_faults_two_attempts_and_a_restored_backup_keeps_every_promise() -> None:
    result = check(Model(faults=2))
    assert result.holds, str(result)
    assert result.states > 100_000, "a model that explores little proves little"


def test_every_schedule_with_one_fault_keeps_every_promise_also_when_nothing_is_merged() -> None:
    result = check(Model(faults=1, pays_again=False, restores=False, merges=False))
    assert result.holds, str(result)
    assert result.states > 10_000


def test_without_any_fault_the_protocol_is_more_than_its_happy_path() -> None:
    result = check(Model(faults=0))
    assert result.holds, str(result)
    assert result.states > 5_000


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_without_this_rule_a_promise_is_broken_in_so_many_steps(rule: Rule) -> None:
    result = rule.check()
    assert result.broken is not None, f"nothing breaks without {rule.name}: why is it there?"
    assert len(result.schedule) == rule.steps, str(result)
    assert written(rule.name) == schedule(rule, result), "run: make docs"


def test_every_rule_that_can_be_off_is_shown() -> None:
    assert {rule.name for rule in RULES} == set(CAN_BE_OFF)
