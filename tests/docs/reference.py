"""The generated parts of docs/reference: each is made of the table in the code that the programs themselves read."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import click

from service.console.switchboard import OFFERS
from service.effects import parking
from service.foundation import exit_codes
from service.foundation.events import HELP, Event
from service.foundation.knob_rules import RULES
from service.foundation.knobs import Knob
from service.foundation.log_fields import FIELDS
from service.foundation.settings import KNOBS
from service.ledger import CHART, entry
from service.ops.cli import cli
from service.ops.terminal import plain
from service.reconcile.classes import CLASSES
from service.stripe_gateway.events import EVENT_TYPES
from service.web.problem_types import PROBLEM_TYPES
from service.web.routes import OPERATIONS
from tests.docs.parts import ROOT, comments, table

LEVELS = ("critical", "error", "warning", "info")
_GOLDEN = ROOT / "tests/ledger/golden"


def settings() -> str:
    """Every variable, in the order of Settings."""
    rows = ((f"`{knob.variable}`", _default(knob), knob.bounds, knob.why) for knob in KNOBS)
    return table(("variable", "default", "bounds", "why"), rows)


def _default(knob: Knob) -> str:
    shown = int(knob.default) if isinstance(knob.default, bool) else plain(knob.default)
    return "" if shown == "" else f"`{shown}`"


def rules_between_settings() -> str:
    """What must hold between settings."""
    return "\n".join(f"- `{rule.says}`: {rule.why}" for rule in RULES)


def exit_code_table() -> str:
    """Every exit code with what its comment says."""
    said = comments(exit_codes)
    lines = enumerate(inspect.getsource(exit_codes).splitlines(), 1)
    found = ((re.match(r"[A-Z_]+: Final = (\d+)", line), number) for number, line in lines)
    return table(("code", "means"), ((code[1], said[number]) for code, number in found if code))


def chaos_switches() -> str:
    """Every switch of the chaos page."""
    return table(("switch", "does", "then"), ((offer.verb, offer.does, offer.sees) for offer in OFFERS))


def event_types() -> str:
    """Every event that an endpoint at Stripe should send us."""
    return "\n".join(f"- `{name}`" for name in EVENT_TYPES)


def problems() -> str:
    """Every type of problem."""
    rows = ((str(row.status), f"`{row.code}`", row.meaning, row.remedy) for row in PROBLEM_TYPES.values())
    return table(("status", "end of `type`", "what happened", "what to do"), rows)


def routes() -> str:
    """Every route of the API."""
    rows = ((f"`{one.method} {one.path}`", one.summary, f"`{one.scope}`" if one.scope else "") for one in OPERATIONS)
    return table(("route", "what", "scope of the API key"), rows)


def parking_reasons() -> str:
    """Every reason for which a row is parked."""
    rows = [(f"`{reason}`", means, do) for reason, (means, do) in parking.HELP.items()]
    by_hand = ("anything else", "a person's own words: `eo outbox park`", "ask them")
    return table(("`last_error` begins with", "means", "do"), [*rows, by_hand])


def log_events() -> str:
    """Every event of the log, the loudest first."""
    loudest_first = sorted(Event, key=lambda event: (LEVELS.index(HELP[event].level), event))
    rows = ((f"`{event}`", HELP[event].level, HELP[event].means, HELP[event].do) for event in loudest_first)
    return table(("event", "level", "means", "do"), rows)


def log_fields() -> str:
    """Every field that a line of the log may have."""
    return table(("field", "is"), ((f"`{name}`", means) for name, means in FIELDS.items()))


def discrepancy_classes() -> str:
    """Every class of discrepancy."""
    rows = (
        (
            f"`{name}`",
            one.means,
            one.next_step.format(
                pi="PI",
                refund="REFUND",
                payout="PAYOUT",
                dispute="DISPUTE",
                movement="MOVEMENT",
                fingerprint="FINGERPRINT",
            ),
        )
        for name, one in CLASSES.items()
    )
    return table(("class", "means", "next"), rows)


def chart_of_accounts() -> str:
    """Every account of the ledger."""
    said = comments(entry)
    names = {code: name for name, code in vars(entry).items() if isinstance(code, str) and code in CHART}
    at = {line.strip().partition(":")[0]: n for n, line in enumerate(inspect.getsource(entry).splitlines(), 1)}
    rows = ((f"`{code}`", kind, said[at[names[code]]]) for code, kind in CHART.items())
    return table(("code", "type", "what it holds"), rows)


def journal_entries() -> str:
    """What each event books: the golden files, to which the rules are held."""
    rows = (_golden(path.stem, json.loads(path.read_text())) for path in sorted(_GOLDEN.glob("*.json")))
    return table(("golden file", "what happened", "reference", "debit", "credit"), rows)


def _golden(name: str, case: dict[str, Any]) -> tuple[str, str, str, str, str]:
    booked = case["entry"] or {"reference": "nothing is booked", "postings": []}
    return f"`{name}`", case["why"], booked["reference"], _legs(booked, 1), _legs(booked, -1)


def _legs(booked: dict[str, Any], sign: int) -> str:
    legs = (
        f"`{code}` {amount * sign} {currency}" for code, currency, amount in booked["postings"] if amount * sign > 0
    )
    return ", ".join(legs)


def commands() -> str:
    """Every command that does something: what it does, how it is called, its options."""
    return "\n\n".join(_command(name, command) for name, command in _doing("eo", cli))


def _doing(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from _doing(f"{name} {word}", below)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    records = (option.get_help_record(context) for option in options)
    rows = [(f"`{record[0]}`", record[1]) for record in records if record]
    shown = f"\n\n{table(('option', 'what'), rows)}" if rows else ""
    return f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```\n{usage}\n```{shown}"
