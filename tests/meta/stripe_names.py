"""The names that Stripe's API knows, read from the sources of the installed SDK: its parameter and object types.

Nothing of the SDK is executed. A request is checked in the form in which it went over the wire.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

_FREE = ("Dict[", "UntypedStripeObject[")  # names of the caller's own, as in metadata
_LITERAL = re.compile(r"Literal\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of the SDK: what may be sent there, and what comes back (`many`: a list of it)."""

    params: str | None
    answer: str
    many: bool


def sdk() -> Path:
    """The folder of the installed SDK."""
    spec = find_spec("stripe")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def decode(form: str) -> dict[str, Any]:
    """`a[b]=1&c[]=x` → `{"a": {"b": "1"}, "c": ["x"]}`."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *way, last = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        node = tree
        for step in way:
            node = node.setdefault(step, {})
        node[last or str(len(node))] = value
    return {name: _listed(value) for name, value in tree.items()}


def problems(method: str, path: str, params: Mapping[str, Any]) -> list[str]:
    """What in this request Stripe does not know; empty: every name is in the SDK's types, and none is missing."""
    route = _route(method, path)
    if route is None:
        return [f"no such route: {method} {path}"]
    found = list(_check(params, _class(route.params), "")) if route.params else [f"{name}: unknown" for name in params]
    for expanded in params.get("expand", []):
        found += _check_expansion(expanded, route)
    return found


def fields(name: str) -> Mapping[str, str]:
    """What an object of Stripe's has, each with its annotation; `PaymentIntent.LastPaymentError` is inside another."""
    outer, *inside = name.split(".")
    found = _class(outer)
    for step in inside:
        found = _read(found.near[step], found.near)
    return found.fields


# --- routes


@cache
def _route(method: str, path: str) -> Route | None:
    family = "/".join(path.split("/")[:3])
    for file in sorted(sdk().rglob("_*_service.py")):
        text = file.read_text()
        if f'"{family}' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and _serves(node, method, path):
                return _described(node)
    return None


def _serves(function: ast.FunctionDef, method: str, path: str) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_request":
            verb, where = node.args[0], node.args[1]
            assert isinstance(verb, ast.Constant)
            return verb.value == method.lower() and re.fullmatch(_pattern(where), path) is not None
    return False


def _pattern(where: ast.expr) -> str:
    """The path, written as a string or as a string's `format`, as a regular expression."""
    if isinstance(where, ast.Call) and isinstance(where.func, ast.Attribute):
        where = where.func.value
    assert isinstance(where, ast.Constant)
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(str(where.value)))


def _described(function: ast.FunctionDef) -> Route:
    annotations = {a.arg: ast.unparse(a.annotation) for a in function.args.args if a.annotation}
    params = re.search(r"\w+Params\b", annotations.get("params", ""))
    returned = ast.unparse(function.returns) if function.returns else ""
    answer = re.findall(r"\w+", returned)[-1]
    return Route(params.group() if params else None, answer, many="ListObject" in returned)


# --- classes


@dataclass(frozen=True, slots=True)
class _Class:
    """A class's annotated fields, and the classes that its annotations may name."""

    fields: Mapping[str, str]
    near: Mapping[str, ast.ClassDef]


@cache
def _class(name: str) -> _Class:
    file = "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() + ".py"
    for path in sorted(sdk().rglob(file)):
        classes = _classes(ast.parse(path.read_text()))
        if name in classes:
            return _read(classes[name], classes)
    raise LookupError(f"the SDK has no class {name}")


def _classes(tree: ast.Module | ast.ClassDef) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _read(node: ast.ClassDef, near: Mapping[str, ast.ClassDef]) -> _Class:
    fields: dict[str, str] = {}
    for base in node.bases:  # the SDK's request options are of another file and no parameters
        if isinstance(base, ast.Name) and base.id in near:
            fields |= _read(near[base.id], near).fields
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            fields[line.target.id] = ast.unparse(line.annotation).replace('"', "").replace("\\'", "'")
    return _Class(fields, {**near, **_classes(node)})


def _named_in(annotation: str, owner: _Class) -> list[_Class]:
    return [_read(owner.near[word], owner.near) for word in re.findall(r"\w+", annotation) if word in owner.near]


# --- parameters


def _check(params: Mapping[str, Any], known: _Class, prefix: str) -> Iterator[str]:
    for name, annotation in known.fields.items():
        if "NotRequired[" not in annotation and name not in params:
            yield f"{_at(prefix, name)}: missing"
    for name, value in params.items():
        if name not in known.fields:
            yield f"{_at(prefix, name)}: unknown"
        else:
            yield from _check_value(value, known.fields[name], known, _at(prefix, name))


def _check_value(value: Any, annotation: str, owner: _Class, where: str) -> Iterator[str]:
    if isinstance(value, list):
        if "List[" not in annotation:
            yield f"{where}: no list"
            return
        for item in value:
            yield from _check_value(item, annotation.partition("List[")[2], owner, where)
    elif isinstance(value, Mapping):
        shapes = _named_in(annotation, owner)
        if shapes:
            yield from min((list(_check(value, shape, where)) for shape in shapes), key=len)
        elif not any(word in annotation for word in _FREE):
            yield f"{where}: no hash"
    elif not _fits(value, annotation):
        yield f"{where}: {value!r} is none of its values"


def _fits(value: str, annotation: str) -> bool:
    """Whether text may stand here. Types with a list of words are open in the SDK (`|str`); here they are closed."""
    words = {word.strip(" '") for listed in _LITERAL.findall(annotation) for word in listed.split(",")}
    kinds = set(re.findall(r"\w+", _LITERAL.sub("", annotation)))
    return (
        value in words
        or ("bool" in kinds and value in ("true", "false"))
        or ("int" in kinds and re.fullmatch(r"-?\d+", value) is not None)
        or ("str" in kinds and not words)
    )


def _at(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(item) for name, item in value.items()}
    return list(inner.values()) if inner and all(name.isdecimal() for name in inner) else inner


# --- expansions


def _check_expansion(path: str, route: Route) -> list[str]:
    steps = path.split(".")
    if route.many and steps.pop(0) != "data":
        return [f"expand {path}: a list is expanded below `data`"]
    owner, annotation = _class(route.answer), ""
    while steps:
        step = steps.pop(0)
        if step not in owner.fields:
            return [f"expand {path}: {step} is unknown"]
        annotation = owner.fields[step]
        if "ListObject[" in annotation and steps and steps.pop(0) != "data":
            return [f"expand {path}: a list is expanded below `data`"]
        if steps:
            owner = _inner(annotation, owner)
    return [] if "ExpandableField[" in annotation else [f"expand {path}: cannot be expanded"]


def _inner(annotation: str, owner: _Class) -> _Class:
    """The class of a field's value, beside its owner or in a file of its own."""
    near = _named_in(annotation, owner)
    return near[0] if near else _class(re.findall(r"\w+", annotation)[-1])
