"""PostgreSQL away, told apart from a refusal."""

from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.db import is_unreachable
from service.errors import Unavailable


def is_away(error: BaseException) -> bool:
    """Whether this failed because PostgreSQL, or a free connection to it, could not be had: HTTP 503, try again."""
    return isinstance(error, (PoolTimeout, Unavailable)) or is_unreachable(error)
