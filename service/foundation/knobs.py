"""Knobs: settings with a variable, a default, a reason and bounds. Here is how a text is read as the value of one.

`service.foundation.settings` has the table of all knobs, `service.foundation.knob_rules` the rules between them.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any

from service.foundation.errors import Misconfigured

OURS = "EO_"
# Variables of ours that are no settings of the service, but of the sandbox, of tests, or of the demonstration.
OF_THE_SANDBOX = tuple(
    f"EO_SANDBOX_{name}"
    for name in ("HOST", "PORT", "DATA", "FEE_DELAY_S", "LATENCY_MS", "STRICT", "RETRY_S", "RPS", "SECRET")
)
_OTHERS = ("EO_CRASH_AT", *OF_THE_SANDBOX)
_OTHER_PREFIXES = ("EO_TEST_", "EO_DEMO_", "EO_CONFORMANCE_")
_ALIKE = 0.7  # the least likeness of two names, by difflib, at which one is suggested for the other
_SHOWN_MAX = 40  # characters of a value in a message
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting, by its field and by its variable."""

    name: str
    variable: str
    kind: Any
    default: Any
    why: str
    least: float | None = None
    most: float | None = None
    verbatim: bool = False  # whether spaces around its text are a part of the value

    @classmethod
    def of(cls, one: "Field[Any]") -> "Knob":
        """The knob of this field of Settings."""
        return cls(one.name, kind=one.type, default=one.default, **one.metadata)

    @property
    def bounds(self) -> str:
        """Its bounds in words, empty where it has none."""
        return "" if self.least is None or self.most is None else f"{_plain(self.least)} to {_plain(self.most)}"

    def read(self, text: str) -> Any:
        """The value of this text. Raises Misconfigured, which names variable, value and bounds."""
        text = text if self.verbatim else text.strip()
        value = _PARSERS[self.kind](text)
        if value is None:
            raise Misconfigured(
                f"{self.variable}={_shown(text)} is not {self._expected()}. Correct it and start again."
            )
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raises Misconfigured where a number is not within the bounds."""
        if self.least is not None and self.most is not None and not self.least <= value <= self.most:
            raise Misconfigured(
                f"{self.variable}={_plain(value)} is out of bounds: {self.bounds}. Correct it and start again."
            )

    def _expected(self) -> str:
        kind = _NAMES[self.kind]
        return f"{kind} from {self.bounds}" if self.bounds else kind


def knob(variable: str, default: Any, why: str, *, least: float | None = None, most: float | None = None) -> Any:
    """A field that is read from `variable` and has bounds. `eo settings` shows `why` beside the default."""
    return field(default=default, metadata={"variable": variable, "why": why, "least": least, "most": most})


def secret(variable: str, why: str, *, verbatim: bool = False) -> Any:
    """A field that is left out where settings are printed."""
    return field(default="", repr=False, metadata={"variable": variable, "why": why, "verbatim": verbatim})


def unknown(environ: Mapping[str, str], knobs: Iterable[Knob]) -> list[str]:
    """A line for every variable that begins like one of ours and is none, because a misspelt knob has no effect."""
    known = [one.variable for one in knobs if one.variable.startswith(OURS)] + list(_OTHERS)
    lines = []
    for name in sorted(environ):
        if name.startswith(OURS) and name not in known and not name.startswith(_OTHER_PREFIXES):
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            meant = f" Did you mean {nearest[0]}?" if nearest else " `eo settings` names all there are."
            lines.append(f"{_shown(name)} is not a setting of effectively-once and has no effect.{meant}")
    return lines


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _path(text: str) -> Path | None:
    """A path that is text in UTF-8, because the file run.json, logs and messages are."""
    is_text = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    return Path(text) if is_text else None


def _plain(value: float) -> str:
    """A number without an exponent or a needless fraction."""
    return f"{int(value)}" if float(value).is_integer() else f"{value:.6f}".rstrip("0")


def _shown(text: str) -> str:
    """The value as a message shows it: on one line, and cut to 40 characters."""
    shown = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
    return shown if shown.isprintable() else repr(shown)


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _whole,
    float: _number,
    bool: lambda t: _FLAGS.get(t.lower()),
    Path: _path,
}
_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "0 or 1",
    Path: "a path in UTF-8",
}
