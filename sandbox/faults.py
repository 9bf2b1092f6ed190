"""The fault plan: which requests go wrong, and how. Deterministic under its seed for a client that asks in sequence.

A plan is `{"seed": 7, "rules": [{"fault": NAME, …when, …how}, …]}`. Each fault belongs to one stage of a request:

    edge       before anything is looked at; nothing is executed
      drop_before · html_502 · rate_limited · lock_timeout · conflict_409 · failed_dependency_424
      unauthorized_401 · forbidden_403 · stall (executed: false) · error_500_before (saved: false)
      incomplete_list, slow_list (pages after the first)
    execution  a new POST is about to run; the key remembers what is answered
      error_500_before (saved, not executed) · executed_500 · error_500_roll_forward (executed delay_s later)
    reply      the work is done and committed, or a saved answer is replayed
      executed_reply_lost · cut_body · stall · html_502_executed · wrong_amount · no_request_id
      crash_after_execution (SIGKILL to itself) · failed_dependency_424 (executed: true)
    event      something happened and is told to webhook endpoints and event destinations
      event_duplicate (sent twice) · event_double (told under two ids) · event_delay (delay_s) · event_reorder (each
      waits its own part of delay_s) · event_drop (not sent; listed: false, not to be read either)
      event_missign (the first try; sign: how) · event_before_answer (before the answer of the call that caused it)

When: `method`, `path` (regular expression), `metadata_order` (metadata.eo_order) select requests, and `event` (regular
expression on the type), `metadata_order` select events; of those, `nth` fires on the given ordinals, `probability` by
the seed, `times` at most so often. At each stage the first rule that fires wins.
Several plans may stand side by side, each under its name, so that who adds one disturbs nobody else's.
Plans live in memory: a restarted sandbox is a healthy one.
"""

import random
import re
from collections.abc import Callable
from typing import Literal

import msgspec

from sandbox.objects import Json
from sandbox.state import Call
from sandbox.telling import Missigned
from sandbox.words import words

Stage = Literal["edge", "execution", "reply", "event"]
FaultName = Literal[
    "drop_before",
    "html_502",
    "rate_limited",
    "lock_timeout",
    "conflict_409",
    "failed_dependency_424",
    "unauthorized_401",
    "forbidden_403",
    "incomplete_list",
    "slow_list",
    "error_500_before",
    "executed_500",
    "error_500_roll_forward",
    "executed_reply_lost",
    "cut_body",
    "stall",
    "html_502_executed",
    "wrong_amount",
    "no_request_id",
    "crash_after_execution",
    "event_duplicate",
    "event_double",
    "event_delay",
    "event_reorder",
    "event_drop",
    "event_missign",
    "event_before_answer",
]
EXECUTION = words("error_500_before executed_500 error_500_roll_forward")
REPLY = words(
    """executed_reply_lost cut_body stall html_502_executed wrong_amount no_request_id crash_after_execution
    failed_dependency_424"""
)
LATER_PAGES_ONLY = words("incomplete_list slow_list")


class Rule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the plan. Seconds are seconds; `executed` decides for the faults that can stand on either side."""

    fault: FaultName
    method: str | None = None
    path: str | None = None
    metadata_order: str | None = None
    probability: float | None = None
    nth: list[int] | None = None
    times: int | None = None
    stall_s: float = 1.0
    then: Literal["cut", "answer"] = "cut"
    executed: bool | None = None
    saved: bool = True
    delay_s: float = 1.0
    retry_after: int | None = None
    should_retry: bool | None = None
    code: str | None = None
    permission: str | None = None
    event: str | None = None
    listed: bool = True
    sign: Missigned = "wrong_secret"

    def stage(self) -> Stage:
        """Where in a request this fault strikes, or `event`."""
        if self.fault.startswith("event_"):
            return "event"
        if self.fault == "failed_dependency_424":
            return "reply" if self.executed else "edge"
        if self.executed is False or not self.saved:
            return "edge"
        if self.fault in EXECUTION:
            return "execution"
        return "reply" if self.fault in REPLY else "edge"

    def check(self) -> None:
        """Raise for what selects nothing: a request has no type, an event no path."""
        for pattern in (self.path, self.event):
            re.compile(pattern or "")
        if self.stage() == "event" and (self.method is not None or self.path is not None):
            raise ValueError(f"{self.fault} strikes events: select them by `event` and `metadata_order`")
        if self.stage() != "event" and self.event is not None:
            raise ValueError(f"{self.fault} strikes requests: select them by `method`, `path` and `metadata_order`")

    def selects_event(self, kind: str, order: str | None) -> bool:
        """Whether the event is one of those the rule is about."""
        return (self.event is None or re.search(self.event, kind) is not None) and (
            self.metadata_order is None or self.metadata_order == order
        )

    def selects(self, call: Call, order: str | None) -> bool:
        """Whether the request is one of those the rule is about."""
        return (
            (self.method is None or self.method == call.method)
            and (self.path is None or re.search(self.path, call.path) is not None)
            and (self.metadata_order is None or self.metadata_order == order)
            and (self.fault not in LATER_PAGES_ONLY or _is_later_page(call))
        )


class PlanText(msgspec.Struct, forbid_unknown_fields=True):
    """The plan as it is posted."""

    rules: list[Rule]
    seed: int = 0


class _Counted:
    """A rule with its own random numbers, and how many requests it has seen and struck.

    `share` is a random part of 1, where the rule has just fired.
    """

    def __init__(self, rule: Rule, seed: str) -> None:
        self.rule = rule
        self.stage = rule.stage()
        self.matched = 0
        self.fired = 0
        self.share = 0.0
        self._random = random.Random(seed)  # noqa: S311  it must be repeatable

    def fires(self) -> bool:
        """Count one selected request and decide."""
        self.matched += 1
        # A number is drawn for every selected request, so that one rule's decisions never depend on another rule.
        roll = self._random.random()
        self.share = roll / (self.rule.probability or 1)
        fires = (
            (self.rule.nth is None or self.matched in self.rule.nth)
            and (self.rule.probability is None or roll < self.rule.probability)
            and (self.rule.times is None or self.fired < self.rule.times)
        )
        self.fired += fires
        return fires


class Plan:
    """The rules in force."""

    def __init__(self, text: PlanText) -> None:
        for rule in text.rules:
            rule.check()
        self.seed = text.seed
        self._rules = [_Counted(rule, f"{text.seed}:{index}") for index, rule in enumerate(text.rules)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def pick(self, stage: Stage, call: Call, order: str | None) -> Rule | None:
        """The fault that strikes this request at this stage."""
        counted = self._first(stage, lambda rule: rule.selects(call, order))
        return None if counted is None else counted.rule

    def pick_for_event(self, kind: str, order: str | None) -> tuple[Rule, float] | None:
        """The fault that strikes this event, and a random part of 1."""
        counted = self._first("event", lambda rule: rule.selects_event(kind, order))
        return None if counted is None else (counted.rule, counted.share)

    def strikes_events(self) -> bool:
        """Whether any rule is about events."""
        return any(counted.stage == "event" for counted in self._rules)

    def _first(self, stage: Stage, selects: Callable[[Rule], bool]) -> _Counted | None:
        for counted in self._rules:
            if counted.stage == stage and selects(counted.rule) and counted.fires():
                return counted
        return None

    def report(self) -> Json:
        """The plan and what became of it."""
        rules = [
            {"rule": msgspec.to_builtins(c.rule), "stage": c.stage, "matched": c.matched, "fired": c.fired}
            for c in self._rules
        ]
        return {"seed": self.seed, "rules": rules}


class Plans:
    """Plans by name, that of the empty name first: it is the one that `POST faults` replaces."""

    def __init__(self) -> None:
        self._plans = {"": Plan(PlanText(rules=[]))}

    def __bool__(self) -> bool:
        return any(self._plans.values())

    def set(self, name: str, plan: Plan) -> None:
        """Put a plan in force, in place of the one with its name."""
        self._plans[name] = plan

    def drop(self, name: str) -> None:
        """End a plan; one that does not exist has ended."""
        if name:
            self._plans.pop(name, None)
        else:
            self._plans[""] = Plan(PlanText(rules=[]))

    def report(self, name: str) -> Json | None:
        """A plan and what became of it; None where there is none with this name."""
        plan = self._plans.get(name)
        return None if plan is None else plan.report()

    def pick(self, stage: Stage, call: Call, order: str | None) -> Rule | None:
        """The first fault of any plan that strikes this request at this stage."""
        picked = (plan.pick(stage, call, order) for plan in self._plans.values())
        return next((rule for rule in picked if rule is not None), None)

    def pick_for_event(self, kind: str, order: str | None) -> tuple[Rule, float] | None:
        """The first fault of any plan that strikes this event, and a random part of 1."""
        picked = (plan.pick_for_event(kind, order) for plan in self._plans.values())
        return next((found for found in picked if found is not None), None)

    def strikes_events(self) -> bool:
        """Whether any rule of any plan is about events."""
        return any(plan.strikes_events() for plan in self._plans.values())


def _is_later_page(call: Call) -> bool:
    return call.method == "GET" and ("starting_after" in call.params or "ending_before" in call.params)
