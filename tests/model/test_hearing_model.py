"""Whatever events do, both sides end equal, also by the sweeps alone; and no rule can be left out."""

import pytest

from tests.model.checker import check
from tests.model.hearing import RULES, Hearing


@pytest.mark.parametrize("drops", [False, True], ids=["events twice, late, before our commit", "events never"])
def test_both_sides_end_equal_whatever_becomes_of_events(*, drops: bool) -> None:
    result = check(Hearing(drops=drops))
    assert result.holds, str(result)
    assert result.states > 500, "a model that explores little proves little"


@pytest.mark.parametrize("rule", RULES)
def test_without_this_rule_of_hearing_a_promise_is_broken(rule: str) -> None:
    result = check(Hearing(off=rule))
    assert not result.holds, f"nothing breaks without it: why is it there? {RULES[rule]}"
