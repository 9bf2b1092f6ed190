"""A route of the API: its handler together with everything that the OpenAPI document says of it.

A module of handlers makes a `Group` and decorates each handler with `@group.operation(…)`; `service.web.routes` names
the groups. The application's routes and the document are both made of these operations, so neither can miss one.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from uuid import UUID

from litestar import Request
from litestar.response.base import ASGIResponse

from service.accounts.scopes import Scope
from service.foundation.errors import NotFound
from service.web.body import BODY_MAX

Json = dict[str, Any]
AnyRequest = Request[Any, Any, Any]
Handler = Callable[[AnyRequest], Coroutine[Any, Any, ASGIResponse]]
Method = Literal["GET", "POST", "DELETE"]

KEYED = "/v1"  # every path below it asks for an API key
_TYPED = re.compile(r"\{(\w+):(\w+)\}")
# The types of parameters of a path, by the framework's words: an id of ours, and one of Stripe's.
_IN_PATH: dict[str, Json] = {"uuid": {"format": "uuid"}, "str": {"pattern": "^[A-Za-z0-9_]{1,255}$"}}
_STRIPE_ID = re.compile(_IN_PATH["str"]["pattern"])


def id_in_path(request: AnyRequest, name: str) -> UUID:
    """An id of the request's path, which the route's type has parsed."""
    return cast("UUID", request.scope["path_params"][name])


def stripe_id_in_path(request: AnyRequest, name: str) -> str:
    """An id of Stripe's in the request's path. Raises NotFound for what can be none."""
    found: str = request.scope["path_params"][name]
    if _STRIPE_ID.fullmatch(found) is None:
        raise NotFound("There is no such object: its id can be none of Stripe's.")
    return found


def ref(name: str) -> Json:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request. `text` None: the document describes it by its schema only."""

    name: str
    schema: Json
    place: Literal["query", "header", "path"] = "query"
    required: bool = False
    text: str | None = ""
    example: str | None = None

    def as_json(self) -> Json:
        """As OpenAPI has it."""
        found: Json = {"name": self.name, "in": self.place, "required": self.required}
        if self.example is not None:
            found["example"] = self.example
        if self.text is not None:
            found["description"] = self.text
        return found | {"schema": self.schema}


@dataclass(frozen=True, slots=True)
class ListOf:
    """The shape `{"data": [ … ]}`: the name of its schema, and the type of its items."""

    name: str
    item: type


Shape = type | ListOf


def name_of(shape: Shape) -> str:
    """The name of its schema."""
    return shape.name if isinstance(shape, ListOf) else shape.__name__


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request. `items` is the type of the items that it has undecoded; `max_bytes` bounds its length."""

    shape: type
    example: Json
    items: type | None = None
    max_bytes: int = BODY_MAX


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, and examples of it by their names."""

    shape: Shape
    examples: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `problems` are the types of problem that only some operations can answer with."""

    tag: str
    method: Method
    route: str  # the path with the types of its parameters, as the framework reads it
    handler: Handler
    answers: Mapping[int, Answer | None]  # None: an answer without a body
    body: Body | None = None
    own_parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    scope: Scope | None = None  # that an API key must have
    signed: bool = False  # its body is signed, in place of an API key

    @property
    def path(self) -> str:
        """The path without the types."""
        return _TYPED.sub(r"{\1}", self.route)

    @property
    def id(self) -> str:
        """The handler's name in camel case, by which generated clients call it."""
        first, *others = self.handler.__name__.split("_")
        return first + "".join(word.title() for word in others)

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0].removesuffix(".")

    @property
    def is_keyed(self) -> bool:
        """Whether it asks for an API key."""
        return self.path.startswith(f"{KEYED}/") and not self.signed

    @property
    def has_query(self) -> bool:
        """Whether its query string may have parameters."""
        return any(parameter.place == "query" for parameter in self.own_parameters)

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters of its path, then its own."""
        of_path = [
            Parameter(name, {"type": "string", **_IN_PATH[kind]}, "path", required=True, text=None)
            for name, kind in _TYPED.findall(self.route)
        ]
        return [*of_path, *self.own_parameters]


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one module, under one tag of the document, in the order in which they are written."""

    tag: str
    operations: list[Operation] = field(default_factory=list)

    def operation(
        self,
        method: Method,
        route: str,
        answers: Mapping[int, Answer | None],
        *,
        body: Body | None = None,
        parameters: tuple[Parameter, ...] = (),
        problems: tuple[str, ...] = (),
        headers: tuple[str, ...] = (),
        scope: Scope | None = None,
        signed: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Make the decorated handler an operation. Its name and its docstring's first line appear in the document.

        Raises ValueError where a keyed route names no scope, or another one does.
        """

        def add(handler: Handler) -> Handler:
            made = Operation(
                self.tag, method, route, handler, answers, body, parameters, problems, headers, scope, signed
            )
            if made.is_keyed == (scope is None):
                raise ValueError(f"{method} {route}: a route has a scope exactly where it asks for an API key")
            self.operations.append(made)
            return handler

        return add
