"""Lists of Stripe's second API: no cursors of ids, but the addresses of the pages before and after."""

from urllib.parse import quote, urlencode

from sandbox.errors import invalid
from sandbox.objects import Json
from sandbox.params import Form, Params

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
_FORWARD, _BACK = "after_", "before_"


def limit(form: Form) -> int:
    """How many objects a page has."""
    return form.integer("limit", smallest=1, largest=LIMIT_MAX) or LIMIT_DEFAULT


def cursor(form: Form) -> tuple[int | None, bool]:
    """The number of the object that the page begins after, and whether it lies on the newer side of it."""
    token = form.text("page")
    if token is None:
        return None, False
    number = token.removeprefix(_FORWARD).removeprefix(_BACK)
    if not number.isdecimal():
        raise invalid("The page token is invalid.", param="page")
    return int(number), token.startswith(_BACK)


def page(path: str, params: Params, items: list[tuple[int, Json]], most: int, *, first: bool, backwards: bool) -> Json:
    """The answer: at most `most` of the numbered items, newest first; one more tells that there is another page.

    `first`: no page was asked for, so this is the first one.
    """
    more = len(items) > most
    shown = items[:most][::-1] if backwards else items[:most]
    newer, older = (more, True) if backwards else (not first, more)
    return {
        "data": [item for _, item in shown],
        "next_page_url": _url(path, params, f"{_FORWARD}{shown[-1][0]}") if older and shown else None,
        "previous_page_url": _url(path, params, f"{_BACK}{shown[0][0]}") if newer and shown else None,
    }


def _url(path: str, params: Params, token: str) -> str:
    flat = [(name, value) for name, value in _flat(params) if name != "page"]
    return f"{path}?{urlencode([*flat, ('page', token)], safe='[]', quote_via=quote)}"


def _flat(params: Params, inside: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in params.items():
        path = f"{inside}[{name}]" if inside else name
        if isinstance(value, list):
            found += _flat({str(place): item for place, item in enumerate(value)}, path)
        elif isinstance(value, dict):
            found += _flat(value, path)
        else:
            found.append((path, value))
    return found
