"""One concept, one place: what is said once in the code is said nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import states
from service.ledger import journal
from service.stripe_gateway import marks
from workers.effects import KINDS

ROOT = Path(__file__).parents[2]
CODE = sorted(path.relative_to(ROOT) for room in ("service", "workers") for path in (ROOT / room).rglob("*.py"))
MACHINES = tuple(
    frozenset(words)
    for words in (
        states.ORDER_STATUSES,
        states.CHARGE_STATUSES,
        states.CHANGE_STATUSES,
        states.REFUND_STATUSES,
        states.NEXT_CALLS,
    )
)
_LIST = re.compile(r"'\w+'(?:\s*,\s*'\w+')+")


# Keywords in capitals: prose may say that something comes from the outbox.
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|USING|TABLE)\s+outbox\b")


_OUR_NAME = re.compile(rf"\b(?:{'|'.join(marks.SIX)})\b")
# At the beginning of a string, or of a literal of SQL.
_ENTRIES = (
    journal.CHARGE,
    journal.DUPLICATE,
    journal.FEE,
    journal.REDATED,
    journal.REFUND,
    journal.REFUND_DUPLICATE,
    journal.REFUND_DUPLICATE_FAILED,
    journal.REFUND_FAILED,
    journal.REFUND_PENDING,
    journal.REVERSAL,
)
_KINDS = "|".join(_ENTRIES)
_REFERENCE = re.compile(rf"(?:^|')(?:{_KINDS}):")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string, also of the parts of a composed one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _collections(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Line and words of every list of words: of Python, and inside of SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield node.lineno, {e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)}
        if isinstance(node, ast.Dict):
            yield node.lineno, {k.value for k in node.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
    for line, text in _texts(tree):
        for found in _LIST.findall(text):
            yield line, set(re.findall(r"\w+", found))


def lists_of_states(source: str) -> list[tuple[int, set[str]]]:
    """Where `source` spells two or more states of one machine in one list."""
    return [
        (line, words) for line, words in _collections(ast.parse(source)) if any(len(words & m) > 1 for m in MACHINES)
    ]


@pytest.mark.parametrize(
    "source", ['x in ("paid", "failed")', "q = f\"{x} WHERE s IN ('sending', 'unknown')\"", '{"send": 1, "lookup": 2}']
)
def test_a_list_of_states_is_found(source: str) -> None:
    assert lists_of_states(source)


def test_no_file_but_states_spells_a_list_of_states() -> None:
    spelled = {str(path): lists_of_states((ROOT / path).read_text()) for path in CODE if path.name != "states.py"}
    assert {path: found for path, found in spelled.items() if found} == {}


def tables_named(source: str) -> list[int]:
    """Lines of SQL that name the table of the outbox."""
    return [line for line, text in _texts(ast.parse(source)) if _TABLE.search(text)]


def test_only_the_room_of_the_outbox_names_its_table() -> None:
    assert tables_named('"SELECT FROM outbox"')
    outside = [path for path in CODE if "outbox" not in path.parts]
    named = {str(path): tables_named((ROOT / path).read_text()) for path in outside}
    assert {path: lines for path, lines in named.items() if lines} == {}


def test_our_names_at_stripe_are_spelled_once() -> None:
    """Docstrings may speak of them, and the comment of a column is part of the schema."""
    for path in CODE:
        if path.name != "marks.py" and "schema" not in path.parts:
            tree = ast.parse((ROOT / path).read_text())
            docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)}
            assert not [t for _, t in _texts(tree) if t not in docs and _OUR_NAME.search(t)], path


def test_the_references_of_the_journal_are_spelled_once() -> None:
    for path in CODE:
        spelled = [text for _, text in _texts(ast.parse((ROOT / path).read_text())) if _REFERENCE.search(text)]
        assert not spelled, path


def _promised(tree: ast.AST) -> Iterator[str]:
    """The words of the outbox that the statements of a file promise."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "promise":
            words = [ast.literal_eval(named.value) for named in call.keywords if named.arg == "kind"]
            yield words[0] if words else "'charge'"


def test_whatever_is_promised_is_carried_out_and_nothing_else() -> None:
    """A worker passes over a row whose word it does not know: it would come again for ever, and be parked never."""
    promised = {word for path in CODE for word in _promised(ast.parse((ROOT / path).read_text()))}
    of_changes = {f"'{word}'" for word in states.CHANGE_KINDS} if "made.kind" in promised else set()
    assert (promised - {"made.kind"}) | of_changes == {f"'{word}'" for word in KINDS}
