"""What every POST has in common that asks for something to be done with an order: its key, its body, its limit."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from service.orders.keys import KEY_MAX, key_of_headers
from service.orders.operations import Wish, is_known
from service.web import body
from service.web.auth import caller_of
from service.web.operation import AnyRequest, Parameter, id_in_path
from service.web.resources import resources_of

S = TypeVar("S", bound=Struct)

MALFORMED_KEY = ("idempotency-key-malformed", "idempotency-key-reserved")  # also of a key in a query
# What each of them can answer with, beside its own.
PROBLEMS = (
    "idempotency-key-missing",
    *MALFORMED_KEY,
    "card-data-rejected",
    "not-found",
    "conflict",
    "idempotency-key-reused",
    "not-confirmed",
)
HEADERS = ("Idempotent-Replayed",)


def replayed(is_replay: bool) -> dict[str, str]:
    """The headers of an answer that may repeat an earlier one."""
    return {"Idempotent-Replayed": "true"} if is_replay else {}


def idempotency_key(meaning: str, *, example: str) -> Parameter:
    """The header, as the document has it."""
    return Parameter(
        "Idempotency-Key",
        {"type": "string", "minLength": 1},
        "header",
        required=True,
        text=f"{meaning} 1 to {KEY_MAX} characters 0x21-0x7E, bare or as a quoted structured-field string (the same "
        "key). Keys starting with `eo1:` are reserved. Repeat a request whose outcome you do not know with the same "
        "key and body.",
        example=example,
    )


async def read_wish(
    request: AnyRequest, operation: str, shape: type[S], check: Callable[[S, str], None]
) -> tuple[Wish, S]:
    """What the request asks for, and its body. `check` judges body and key by what no shape can say.

    A key that repeats an earlier request costs no limit (R7). Raises BadRequest, UnsupportedMediaType, TooManyRequests.
    """
    resources, caller = resources_of(request), caller_of(request)
    key = key_of_headers(request.scope["headers"])
    wanted = await body.read(request, shape)
    check(wanted, key)
    wish = Wish(operation, caller.account_id, id_in_path(request, "order_id"), key, wanted)
    if resources.limit is not None:
        await resources.limit.admit(caller, is_replay=lambda: is_known(resources.engine, wish))
    return wish, wanted
