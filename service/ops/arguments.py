"""What the commands of `eo` take as arguments: instants, names and reasons, refused in words."""

from datetime import datetime
from typing import Any

import click

from service.foundation.errors import BadRequest
from service.foundation.instants import instant
from service.foundation.text import names
from service.foundation.text.names import NAME_MAX, REASON_MAX


class Instant(click.ParamType[datetime]):
    """An instant, in UTC."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Fails where there is no such instant."""
        try:
            return value if isinstance(value, datetime) else instant(value)
        except ValueError:
            self.fail("is not an ISO 8601 instant such as 2026-11-24T00:00:00Z.", param, ctx)


class Words(click.ParamType[str]):
    """A name or a reason: something that is stored, and that a person reads."""

    name = "text"

    def __init__(self, what: str, longest: int) -> None:
        self._what = what
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Fails where it cannot be seen, is too long, or looks like a card number."""
        try:
            return names.checked(value, what=self._what, longest=self._longest)
        except BadRequest as error:
            self.fail(error.detail, param, ctx)


ACCOUNT_NAME = Words("The account's name", NAME_MAX)
USER_NAME = Words("The user's name", NAME_MAX)
REASON = Words("The reason", REASON_MAX)
