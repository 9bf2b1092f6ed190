"""Templates to HTML. All values are escaped, and a name that a template misspells is an error.

Templates have the filters `money`, `moment`, `ago`, `lasting`, `number` and `marked`, and the functions `tone` and
`static`.
"""

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from service.console.tones import tone
from service.foundation.money import spelled

_HERE = Path(__file__).parent
_STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx-2.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "sequence.css": "text/css",
}
_AS_CODE = Markup("<code>{}</code>")
_STEPS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def render(template: str, /, **values: Any) -> str:
    """The page or part of a page of this template."""
    return _environment().get_template(template).render(values)


@cache
def static_file(name: str) -> tuple[bytes, str] | None:
    """The bytes and the media type of a file that pages load, or None."""
    if name not in _STATIC:
        return None
    own = _HERE / "static" / name
    return (own if own.exists() else _htmx() / name).read_bytes(), _STATIC[name]


@cache
def static(name: str) -> str:
    """The address of a file that pages load. It changes with the file, so a browser may keep what it has for ever."""
    found = static_file(name)
    if found is None:
        raise LookupError(f"no such file of the console: {name}")
    return f"/console/static/{name}?v={sha256(found[0]).hexdigest()[:12]}"


def moment(at: datetime) -> str:
    """An instant for people, in UTC: `28 Nov 10:41:03`, with the year where it is another one than now's."""
    at = at.astimezone(UTC)
    return f"{at:%-d %b %H:%M:%S}" if at.year == datetime.now(UTC).year else f"{at:%-d %b %Y %H:%M}"


def lasting(seconds: float) -> str:
    """A length of time by its largest unit and the next: `2 h 5 min`."""
    whole = max(0, int(seconds))
    for place, (unit, size) in enumerate(_STEPS):
        if whole >= size:
            first = f"{whole // size} {unit}"
            if place + 1 == len(_STEPS):
                return first
            smaller, step = _STEPS[place + 1]
            rest = whole % size // step
            return f"{first} {rest} {smaller}" if rest else first
    return "0 s"


def ago(at: datetime) -> str:
    """How long ago that was: `3 min 5 s`."""
    return lasting((datetime.now(UTC) - at).total_seconds())


def number(value: int) -> str:
    """An integer with its thousands apart: `1,204`."""
    return f"{value:,}"


def marked(text: str) -> Markup:
    """The text, escaped, with what stands between backticks as code."""
    parts = enumerate(text.split("`"))
    return Markup().join(_AS_CODE.format(part) if place % 2 else escape(part) for place, part in parts)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {"static": static, "tone": tone}
    made.filters |= {
        "money": spelled,
        "moment": moment,
        "ago": ago,
        "lasting": lasting,
        "number": number,
        "marked": marked,
    }
    return made


def _htmx() -> Path:
    """The folder of htmx's files; importing the package would import Django."""
    spec = find_spec("django_htmx")
    if spec is None or spec.origin is None:
        raise LookupError("the package django-htmx is not installed")
    return Path(spec.origin).parent / "static" / "django_htmx"
