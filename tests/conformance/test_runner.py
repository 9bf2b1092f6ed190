"""The judge is judged: planted differences are seen, and nothing passes because nobody looked."""

import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import report, runner
from tests.conformance.__main__ import EXIT_USAGE, main
from tests.conformance.calls import AutoPage, Listing, Request, RetrieveBalance, Single
from tests.conformance.cases import CASES
from tests.conformance.drivers.outcome import Outcome, Versions
from tests.conformance.expectations import MISSING, Difference, Distinct, Filled, Only, Present, Same, differences
from tests.conformance.runner import Result
from tests.conformance.scenario import Case, Control, Do, Refusal, Step, Together, create
from tests.conformance.targets import Stripe

STRIPE = Stripe("sk_test_nobody")
DECLINED = {"kind": "CardError", "status": 402, "code": "card_declined", "decline_code": None, "param": None}


class Canned:
    """A client that says what it is told to say."""

    name = "canned"

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)
        self.wanted: list[Request] = []

    def versions(self) -> Versions:
        return Versions("1", "2", "3")

    def perform(self, wanted: Sequence[Request]) -> list[Outcome]:
        self.wanted += wanted
        return [self._outcomes.pop(0) for _ in wanted]

    def close(self) -> None:
        """Nothing to give back."""


def answered(body: Any, **headers: str) -> Outcome:
    return Outcome(200, body, headers, "req_1", None)


def refused(body: Any) -> Outcome:
    return Outcome(402, body, {}, "req_1", DECLINED)


def run(steps: Sequence[Step], *outcomes: Outcome) -> Result:
    return runner.run(Case("a case", steps), Canned(*outcomes), STRIPE)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": MISSING}, {"a": None}),
        ({"a": Present()}, {}),
        ({"a": Filled()}, {"a": None}),
        ({"a.*.id": [1]}, {"a": []}),
        ({"a.*.id": Distinct()}, {"a": [{"id": 1}, {"id": 1}]}),
        ({"a.*.id": Distinct(1)}, {"a": []}),
        ({"a.*.id": Same()}, {"a": [{}, {}]}),
        ({"a.*.id": Only((1,))}, {"a": []}),
        ({"": {"a": 1}}, {"a": 1, "b": 2}),
    ],
)
def test_what_differs_is_found(expected: dict[str, Any], seen: Any) -> None:
    assert len(differences("step", expected, seen)) == 1


def test_a_difference_names_the_step_the_path_and_both_values() -> None:
    result = run([Do("read", RetrieveBalance(), expect={"a.0.b": 1})], answered({"a": [{"b": 2}]}))
    assert result.differences == [Difference("read", "a.0.b", "1", "2")]


def test_an_answer_is_no_refusal_and_a_refusal_no_answer() -> None:
    wanted = Refusal("CardError", 402)
    assert run([Do("x", RetrieveBalance(), refused=wanted)], answered({})).differences
    assert run([Do("x", RetrieveBalance())], refused({})).differences
    assert not run([Do("x", RetrieveBalance(), refused=wanted)], refused({})).differences


def test_another_class_of_error_differs() -> None:
    wanted = Refusal("IdempotencyError", 402)
    (found,) = run([Do("x", RetrieveBalance(), refused=wanted)], refused({})).differences
    assert (found.path, found.seen) == ("kind", "'CardError'")


def test_a_header_differs() -> None:
    step = Do("x", RetrieveBalance(), headers={"original-request": "{this.request_id}"})
    assert run([step], answered({}, **{"original-request": "req_2"})).differences
    assert not run([step], answered({}, **{"original-request": "req_1"})).differences


def test_later_steps_know_earlier_answers() -> None:
    client = Canned(answered({"id": "a", "n": 5}), answered({"id": "a", "n": 5}))
    steps = [Do("one", RetrieveBalance()), Do("two", create(), key="k-{one.id}", expect={"n": "{one.n}"})]
    assert not runner.run(Case("a case", steps), client, STRIPE).differences
    assert client.wanted[1].options.idempotency_key == "k-a"


def test_a_reference_to_nothing_is_a_difference() -> None:
    assert run([Do("x", create(), key="{nobody.id}")]).differences
    assert run([Do("x", create(), expect={"id": "{nobody.id}"})], answered({"id": "{nobody.id}"})).differences


def test_a_case_ends_at_its_first_difference() -> None:
    steps = [Do("one", RetrieveBalance(), expect={"a": 1}), Do("two", RetrieveBalance())]
    assert len(run(steps, answered({})).differences) == 1


def test_a_patient_step_is_repeated_until_it_holds() -> None:
    step = Do("x", RetrieveBalance(), expect={"a": 1}, patient=True)
    assert not run([step], answered({}), answered({}), answered({"a": 1})).differences


def test_a_list_without_the_wanted_item_differs() -> None:
    step = Do("x", RetrieveBalance(), find=("id", "a"), expect={"n": 1})
    assert run([step], answered({"data": [{"id": "b", "n": 1}]})).differences
    assert not run([step], answered({"data": [{"id": "b"}, {"id": "a", "n": 1}]})).differences


def test_calls_at_once_are_judged_together() -> None:
    step = Together("x", create(), key="k", expect={"http": [200, 402], "id": Distinct(1)})
    assert run([step], *[answered({"id": "a"})] * 3).differences
    assert run([step], answered({"id": "a"}), answered({"id": "b"}), refused({})).differences
    assert not run([step], answered({"id": "a"}), refused({}), refused({})).differences


def test_what_only_the_sandbox_can_do_ends_a_case_at_stripe_and_says_so() -> None:
    result = run([Control("clock", {"advance_s": 1}), Do("x", RetrieveBalance())])
    assert result.left_out is not None
    assert "clock" in result.left_out
    assert not run([Control("latency", {}, only_helps=True), Do("x", RetrieveBalance())], answered({})).left_out


def test_what_the_sandbox_lacks_is_left_out_there_and_judged_at_stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("a case", [Do("x", RetrieveBalance(), expect={"a": 1})], sandbox_lacks="time")
    assert runner.run(case, Canned(answered({})), STRIPE).differences

    monkeypatch.setattr(Stripe, "is_stripe", False)
    lacking = runner.run(case, Canned(answered({})), STRIPE)
    assert (lacking.differences, lacking.left_out) == ([], "the sandbox lacks this: time")
    assert runner.run(case, Canned(answered({"a": 1})), STRIPE).differences, "it lacks it no longer"


def test_what_stripe_has_nothing_for_is_left_out_there_and_judged_in_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case("a case", [Do("x", RetrieveBalance(), expect={"a": 1})], stripe_lacks="a card for it")
    client = Canned(answered({}))
    assert runner.run(case, client, STRIPE).left_out == "Stripe's test mode lacks this: a card for it"
    assert client.wanted == []

    monkeypatch.setattr(Stripe, "is_stripe", False)
    assert runner.run(case, client, STRIPE).differences


def test_what_only_stripe_knows_is_written_down_and_judges_nothing() -> None:
    result = run([Do("x", RetrieveBalance(), noted=True)], refused({}))
    assert result.differences == []
    assert result.notes["x"]["code"] == "card_declined"


def test_a_report_tells_differences_and_what_was_left_out(tmp_path: Path) -> None:
    results = [
        Result("one", "canned"),
        Result("two", "canned", [Difference("read", "a", "1", "2")]),
        Result("three", "canned", left_out="from there on"),
    ]
    clients = [
        report.Client("canned", Versions("1", "2", "3"), None, results),
        report.Client("absent", None, "nobody has it", []),
    ]
    machine, human = report.write(report.Report("somebody", "nowhere", datetime.now(UTC), clients), tmp_path)
    assert [report.verdict(result) for result in results] == ["ok", "different", "in part"]
    assert '"holds": false' in machine.read_text()
    for part in ("| two | read | a | 1 | 2 | canned |", "| three | from there on |", "| absent | nobody has it |"):
        assert part in human.read_text()


@pytest.mark.parametrize("key", ["sk_live_0123456789", "rk_test_0123456789", "nonsense"])
def test_a_key_that_could_move_money_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", key)
    assert main() == EXIT_USAGE


def test_the_suite_makes_every_call_that_it_knows() -> None:
    steps = [step for case in CASES for step in case.steps if isinstance(step, (Do, Together))]
    made = {type(step.call) for step in steps}
    assert made == {*typing.get_args(Single), *typing.get_args(Listing), AutoPage}


def test_every_case_has_a_name_of_its_own_and_its_steps_too() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        named = [step.name for step in case.steps if not isinstance(step, Control)]
        assert len(set(named)) == len(named), case.name
