"""Writes down what a run saw: `conformance.json` for machines, `conformance.md` for the one who releases."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.conformance.drivers.outcome import Versions
from tests.conformance.runner import Result

SEEN_MAX = 200  # characters of an answer that the page for people shows


@dataclass(frozen=True)
class Client:
    """A client that was asked to run: its versions, or why it could not, and what became of each case."""

    name: str
    versions: Versions | None
    absent: str | None
    results: Sequence[Result]

    def count(self, word: str) -> int:
        """How many of its cases ended like this."""
        return sum(verdict(result) == word for result in self.results)


@dataclass(frozen=True)
class Report:
    """One run against one target."""

    target: str
    address: str
    at: datetime
    clients: Sequence[Client]

    @property
    def holds(self) -> bool:
        """Whether no client saw a difference."""
        return not any(result.differences for client in self.clients for result in client.results)


def verdict(result: Result) -> str:
    """`ok`, `different`, or `in part`: the rest needs what only the sandbox has."""
    if result.differences:
        return "different"
    return "in part" if result.left_out else "ok"


def write(report: Report, folder: Path) -> list[Path]:
    """Both files; their folder is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    machine, human = folder / "conformance.json", folder / "conformance.md"
    machine.write_text(json.dumps(_machine(report), indent=1, ensure_ascii=False) + "\n")
    human.write_text(_human(report))
    return [machine, human]


def _machine(report: Report) -> dict[str, Any]:
    return {
        "target": report.target,
        "address": report.address,
        "at": report.at.isoformat(timespec="seconds"),
        "holds": report.holds,
        "clients": [
            {
                "client": client.name,
                "versions": client.versions and asdict(client.versions),
                "absent": client.absent,
                "cases": [{"verdict": verdict(result), **asdict(result)} for result in client.results],
            }
            for client in report.clients
        ],
    }


def _human(report: Report) -> str:
    results = [result for client in report.clients for result in client.results]
    parts = [
        f"# Conformance of {report.target}\n",
        f"{report.at:%Y-%m-%d %H:%M} UTC, {report.address}\n",
        _table(("client", "SDK", "API version", "runtime", "ok", "in part", "different"), _clients(report)),
        "## Differences\n",
        _table(("case", "step", "path", "expected", "seen", "clients"), _differences(results)),
        "## Left out\n",
        _table(("case", "what"), _left_out(results)),
        "## Noted, where no source says what Stripe answers\n",
        _table(("case", "step", "answer", "clients"), _notes(results)),
    ]
    return "\n".join(parts)


def _clients(report: Report) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for client in report.clients:
        if client.versions is None:
            rows.append((client.name, client.absent, "", "", "", "", ""))
            continue
        counts = (client.count(word) for word in ("ok", "in part", "different"))
        rows.append((client.name, client.versions.sdk, client.versions.api, client.versions.runtime, *counts))
    return rows


def _differences(results: Sequence[Result]) -> list[tuple[Any, ...]]:
    """One row for each place; several clients differ in ids, so both values are the first client's."""
    rows: dict[tuple[str, ...], tuple[tuple[str, str], list[str]]] = {}
    for result in results:
        for one in result.differences:
            key = (result.case, one.step, one.path)
            rows.setdefault(key, ((one.expected, one.seen[:SEEN_MAX]), []))[1].append(result.client)
    return [(*key, *values, ", ".join(clients)) for key, (values, clients) in rows.items()]


def _left_out(results: Sequence[Result]) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys((result.case, result.left_out) for result in results if result.left_out))


def _notes(results: Sequence[Result]) -> list[tuple[Any, ...]]:
    """One row for the clients that were told the same; ids always differ and say nothing."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for result in results:
        for step, answer in result.notes.items():
            told = ", ".join(f"{name}: {value}" for name, value in answer.items() if name != "id")
            rows.setdefault((result.case, step, told), []).append(result.client)
    return [(*key, ", ".join(clients)) for key, clients in rows.items()]


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "None.\n"
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(value) for value in line) + " |\n" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
