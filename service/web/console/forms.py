"""The plain forms of the console's actions."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from service.foundation.errors import BadRequest
from service.foundation.text import names
from service.web.operation import AnyRequest

Form = Mapping[str, str]

_FIELDS_MAX = 100


async def form_of(request: AnyRequest) -> Form:
    """The fields of a plain form. Raises BadRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest("The console takes plain forms only.")
    try:
        fields = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise BadRequest("The form cannot be read.") from error
    form = dict(fields)
    if len(form) != len(fields):
        raise BadRequest("A field of the form is there twice.")
    if any("\0" in value for value in form.values()):
        raise BadRequest("The form cannot be read.")
    return form


def reason_of(form: Form) -> str:
    """The reason that a form gives. Raises BadRequest where it is none that can be noted."""
    return names.checked(form.get("reason", "").strip(), what="The reason", longest=names.REASON_MAX)
