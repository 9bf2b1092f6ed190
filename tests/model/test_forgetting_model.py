"""Every schedule of a forgetting database keeps its promises, and none of its rules can be left out (R31, R32)."""

import pytest

from tests.docs.parts import written
from tests.model.checker import check
from tests.model.document import schedule
from tests.model.forgetting import RULES as CAN_BE_OFF
from tests.model.forgetting import Forgetting
from tests.model.rules import RULES_OF_LIVES, RuleOfLives

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Forgetting(restores=1, pays_again=False, bodies=1), id="a worker beside a zombie"),
        pytest.param(Forgetting(restores=1, workers=1, bodies=1), id="a forgotten second attempt"),
        pytest.param(Forgetting(restores=1, workers=1, pays_again=False), id="a repeat with another request"),
    ],
)
def test_a_key_is_charged_once_and_nothing_stays_unknown_whatever_the_database_forgets(model: Forgetting) -> None:
    result = check(model)
    assert result.holds, str(result)
    assert result.states > 10_000, "a model that explores little proves little"


def test_a_database_that_forgets_nothing_keeps_every_promise() -> None:
    result = check(Forgetting(restores=0))
    assert result.holds, str(result)
    assert result.states > 1_000


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES_OF_LIVES, ids=lambda rule: rule.name)
def test_without_this_rule_a_forgetting_database_breaks_a_promise(rule: RuleOfLives) -> None:
    result = rule.check()
    assert result.broken is not None, f"nothing breaks without {rule.name}: why is it there?"
    assert len(result.schedule) == rule.steps, str(result)
    assert written(rule.part) == schedule(rule, result), "run: make docs"


def test_every_rule_of_lives_that_can_be_off_is_shown() -> None:
    assert {rule.name for rule in RULES_OF_LIVES} == set(CAN_BE_OFF)
