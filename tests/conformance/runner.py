"""Runs one case through one client and says what differed."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.calls import Options, Request
from tests.conformance.drivers.outcome import Driver, Outcome
from tests.conformance.expectations import MISSING, Difference, UnknownReferenceError, differences, read, resolve
from tests.conformance.scenario import Case, Control, Do, Step, Together
from tests.conformance.targets import Anyone

PAUSE_S = 0.05
QUESTIONED = ("balance_transaction",)  # fields that a note shows, because no source says when they are filled

Answered = tuple[Any, list[Difference]]


@dataclass
class Result:
    """What became of a case: no differences and nothing left out means that all of it held."""

    case: str
    client: str
    differences: list[Difference] = field(default_factory=list)
    left_out: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def run(case: Case, driver: Driver, target: Anyone) -> Result:
    """Run the case to its end, to its first difference, or to a control that the target does not have."""
    result = Result(case.name, driver.name)
    if target.is_stripe and case.stripe_lacks is not None:
        result.left_out = f"Stripe's test mode lacks this: {case.stripe_lacks}"
        return result
    memory: dict[str, Any] = {"run": str(uuid.uuid4())}
    try:
        for step in case.steps:
            if not _walk(step, driver, target, memory, result):
                break
    finally:
        if any(isinstance(step, Control) for step in case.steps):
            target.calm()
    return result if target.is_stripe or case.sandbox_lacks is None else _lacking(result, case.sandbox_lacks)


def _lacking(result: Result, lack: str) -> Result:
    """What the sandbox is known not to do is left out; that it does it after all is a difference."""
    if result.differences:
        return Result(result.case, result.client, left_out=f"the sandbox lacks this: {lack}")
    return Result(result.case, result.client, [Difference("(all)", "(all)", f"lacking: {lack}", "done after all")])


def _walk(step: Step, driver: Driver, target: Anyone, memory: dict[str, Any], result: Result) -> bool:
    """Make one step. False: the case ends here."""
    try:
        if isinstance(step, Control):
            if _control(resolve(step, memory), target):
                return True
            result.left_out = f"from “{step.name}” on: only the sandbox can be told to do that"
            return False
        if isinstance(step, Together):
            memory[step.name], found = _together(resolve(step, memory), driver)
        else:
            memory[step.name], found = _patiently(step, driver, memory, target.patience_s)
    except UnknownReferenceError as error:
        found = [Difference(step.name, str(error), "an earlier answer that has it", "none")]
    if isinstance(step, Do) and step.noted:
        result.notes[step.name] = memory[step.name]
    result.differences += found
    return not found


def _control(step: Control, target: Anyone) -> bool:
    return target.control(step.path, step.body) or step.only_helps


def _together(step: Together, driver: Driver) -> Answered:
    request = Request(step.call, Options(idempotency_key=step.key))
    told = [_told(outcome) for outcome in driver.perform([request] * step.times)]
    names = ("http", "id", "kind", "code", "should_retry")
    answer = {name: sorted({one[name] for one in told if name in one}) for name in names}
    return answer, differences(step.name, step.expect, answer)


def _patiently(step: Do, driver: Driver, memory: dict[str, Any], patience_s: float) -> Answered:
    """One call; repeated until nothing differs any more, where the step is patient."""
    deadline = time.monotonic() + (patience_s if step.patient else 0)
    while True:
        answer, found = _once(step, driver, memory)
        if not found or time.monotonic() >= deadline:
            return answer, found
        time.sleep(PAUSE_S)


def _once(step: Do, driver: Driver, memory: dict[str, Any]) -> Answered:
    request = resolve(Request(step.call, Options(step.key, step.api_key, step.version)), memory)
    (outcome,) = driver.perform([request])
    if step.noted:
        return _told(outcome), []
    if (outcome.error is None) != (step.refused is None):
        expected = "an answer" if step.refused is None else f"a {step.refused.kind}"
        return {}, [Difference(step.name, "(all)", expected, str(_told(outcome)))]
    this = {**outcome.body, "request_id": outcome.request_id}
    known = resolve(step, memory | {"this": this})
    body = outcome.body if known.find is None else _found(outcome.body, *known.find)
    found = differences(step.name, known.expect, body) + differences(step.name, known.headers, outcome.headers)
    if known.refused is not None:
        found += differences(step.name, known.refused.expectations(), outcome.error)
    return ({**body, "request_id": outcome.request_id} if isinstance(body, dict) else {}), found


def _found(body: Any, path: str, value: Any) -> Any:
    """The first item of the list that has this value at that path."""
    return next((item for item in body["data"] if read(item, path) == value), MISSING)


def _told(outcome: Outcome) -> dict[str, Any]:
    """The few things by which several answers are compared, and which are written down."""
    told = {"http": outcome.status} | {name: read(outcome.body, name) for name in ("id", "status", *QUESTIONED)}
    if outcome.error is not None:
        told = outcome.error | {"http": outcome.status, "status": None}
        told["should_retry"] = outcome.headers.get("stripe-should-retry")
    return {name: value for name, value in told.items() if value is not MISSING and value is not None}
