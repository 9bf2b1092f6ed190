"""Every generated part by its name, and what makes it."""

from collections.abc import Callable

from tests.docs import accounting, reference, watching
from tests.docs.cards import cards
from tests.docs.database import tables
from tests.model.document import DIAGRAMS, SCHEDULES

# What is made at once, out of the code.
QUICK: dict[str, Callable[[], str]] = {
    "settings": reference.settings,
    "rules between settings": reference.rules_between_settings,
    "commands": reference.commands,
    "exit codes": reference.exit_code_table,
    "routes": reference.routes,
    "problems": reference.problems,
    "event types": reference.event_types,
    "log events": reference.log_events,
    "log fields": reference.log_fields,
    "parking reasons": reference.parking_reasons,
    "discrepancy classes": reference.discrepancy_classes,
    "chart of accounts": reference.chart_of_accounts,
    "journal entries": reference.journal_entries,
    **accounting.PARTS,
    "tables": tables,
    "test cards": cards,
    "chaos switches": reference.chaos_switches,
    "metrics": watching.metrics,
    "guards": watching.guards,
    "alerts": watching.all_alerts,
    **DIAGRAMS,
}
ALL = QUICK | SCHEDULES
