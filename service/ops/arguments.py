"""The argument types that several commands of `eo` share: an instant, a name, a reason, a state."""

import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from getpass import getuser
from typing import TYPE_CHECKING, Any

import click

from service.foundation.errors import BadRequest
from service.foundation.instants import instant
from service.foundation.text import names
from service.foundation.text.names import NAME_MAX, REASON_MAX

if TYPE_CHECKING:
    from service.audit import Who


_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST = timedelta(days=3_653)


class Instant(click.ParamType[datetime]):
    """An ISO 8601 instant, converted to UTC."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant that this text names; ends the command with a usage error where it names none."""
        try:
            return value if isinstance(value, datetime) else instant(value)
        except ValueError:
            self.fail("is not an ISO 8601 instant such as 2026-11-24T00:00:00Z.", param, ctx)


class Span(click.ParamType[timedelta]):
    """A length of time in one unit, from a second to ten years: 90d, 12h, 30m, 45s. `may_be_0`: also 0s."""

    name = "span"

    def __init__(self, *, may_be_0: bool = False) -> None:
        self._may_be_0 = may_be_0

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span that this text names; ends the command with a usage error where it names none."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch("([0-9]{1,9})([dhms])", value, re.ASCII)
        span = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else None
        if span is None or span > _LONGEST or not (span or self._may_be_0):
            self.fail("is not a span such as 90d, 12h, 30m or 45s, of ten years at most.", param, ctx)
        return span


class Words(click.ParamType[str]):
    """A text of at most `longest` characters that is stored and that a person reads: a name or a reason."""

    name = "text"

    def __init__(self, what: str, longest: int) -> None:
        self._what = what
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a usage error where it is invisible, too long, or looks like a card number."""
        try:
            return names.checked(value, what=self._what, longest=self._longest)
        except BadRequest as error:
            self.fail(error.detail, param, ctx)


ACCOUNT_NAME = Words("The account's name", NAME_MAX)
USER_NAME = Words("The user's name", NAME_MAX)
REASON = Words("The reason", REASON_MAX)


def user_name() -> str:
    """The login name of the user who runs this; the number where a container's user has no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _who(_context: click.Context, _option: click.Parameter, name: str) -> "Who":
    from service.audit import Who  # noqa: PLC0415  `--help` needs no database

    return Who(name, "cli")


who_option = click.option(
    "--by",
    "who",
    type=USER_NAME,
    default=user_name,
    show_default="your user name",
    callback=_who,
    help="Who does it; noted in the audit.",
)
why_option = click.option("--reason", type=REASON, help="Why; noted in the audit.")


def one_of(words: Sequence[str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """The check of an option that takes one of these states; a usage error that names them for any other word."""

    def check(_context: click.Context, _option: click.Parameter, word: str | None) -> str | None:
        if word is not None and word not in words:
            raise click.BadParameter("the states are " + ", ".join(words))
        return word

    return check
