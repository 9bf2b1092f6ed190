"""Event destinations: `/v2/core/event_destinations`. They take snapshots or thin events, at a webhook endpoint.

The address and the secret are shown only to whoever asks with `include`, and the secret only by the create.
"""

from sandbox import destinations, paging
from sandbox.destinations import EVERYTHING, Destination
from sandbox.documented import STRIPE
from sandbox.errors import ApiError, invalid, missing_param, not_done
from sandbox.ids import new_id
from sandbox.objects import Json, encode
from sandbox.params import Form, Params
from sandbox.state import API_VERSION, Call, Execution, Sandbox
from sandbox.telling import Payload
from sandbox.thin import iso

PATH = "/v2/core/event_destinations"
URL, SECRET = "webhook_endpoint.url", "webhook_endpoint.signing_secret"
_FROM_ITSELF = "@self"


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v2/core/event_destinations`."""
    form = Form(call.params)
    for name in ("enabled_events", "event_payload", "name", "type"):
        if name not in form:
            raise missing_param(name)
    payload: Payload = "thin" if form.text("event_payload") == "thin" else "snapshot"
    types, url = form.texts("enabled_events"), _url(call.params)
    _check_types(types, payload)
    _check_done(form, payload)
    if url is None:
        raise missing_param("webhook_endpoint")
    included = _included(form)
    metadata = form.metadata()
    destinations.check_room(sandbox)

    def execute() -> bytes:
        at = sandbox.clock.now()
        given = {
            "name": form.text("name"),
            "description": form.text("description") or "",
            "metadata": metadata,
            "snapshot_api_version": API_VERSION if payload == "snapshot" else None,
            "updated": iso(at),
        }
        made = Destination(id=new_id("ed_test_61", 26), created=at, url=url, payload=payload, types=types, view=given)
        destinations.save(sandbox.store, made)
        return encode(_shown(made, included))

    return execute


def retrieve(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v2/core/event_destinations/:id`."""
    found = _find(sandbox, call)
    included = _included(Form(call.params))
    return lambda: encode(_shown(found, included))


def listed(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v2/core/event_destinations`."""
    form = Form(call.params)
    most, included = paging.limit(form), _included(form)
    at, backwards = paging.cursor(form)

    def execute() -> bytes:
        sign, order = (">", "ASC") if backwards else ("<", "DESC")
        rows = sandbox.store.rows(
            f"SELECT seq, {destinations.COLUMNS} FROM destinations WHERE substr(id, 1, 3) = 'ed_'"
            f" AND (?1 IS NULL OR seq {sign} ?1) ORDER BY seq {order} LIMIT ?2",
            (at, most + 1),
        )
        items = [(seq, _shown(Destination.of(tuple(row)), included)) for seq, *row in rows]
        return encode(paging.page(PATH, call.params, items, most, first=at is None, backwards=backwards))

    return execute


def update(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v2/core/event_destinations/:id`."""
    form, url = Form(call.params), _url(call.params)
    included = _included(form)
    form.metadata()
    found = _find(sandbox, call)
    if "enabled_events" in form:
        _check_types(form.texts("enabled_events"), found.payload)

    def execute() -> bytes:
        changed = _find(sandbox, call)
        changed.url = url or changed.url
        changed.types = form.texts("enabled_events") or changed.types
        for name in ("name", "description"):
            changed.view[name] = form.text(name) or changed.view[name]
        if "metadata" in form:
            changed.view["metadata"] = form.merged_metadata(changed.view["metadata"])
        return _save(sandbox, changed, included)

    return execute


def enable(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v2/core/event_destinations/:id/enable`."""
    return _switch(sandbox, call, enabled=True)


def disable(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v2/core/event_destinations/:id/disable`."""
    return _switch(sandbox, call, enabled=False)


def delete(sandbox: Sandbox, call: Call) -> Execution:
    """`DELETE /v2/core/event_destinations/:id`."""
    _find(sandbox, call)

    def execute() -> bytes:
        destinations.delete(sandbox.store, _find(sandbox, call).id)
        return encode({"id": call.object_id, "object": "v2.core.event_destination"})

    return execute


def _switch(sandbox: Sandbox, call: Call, *, enabled: bool) -> Execution:
    _find(sandbox, call)

    def execute() -> bytes:
        changed = _find(sandbox, call)
        changed.enabled = enabled
        return _save(sandbox, changed, frozenset())

    return execute


def _save(sandbox: Sandbox, destination: Destination, included: frozenset[str]) -> bytes:
    destination.view["updated"] = iso(sandbox.clock.now())
    destinations.save(sandbox.store, destination)
    return encode(_shown(destination, included))


def _find(sandbox: Sandbox, call: Call) -> Destination:
    found = destinations.find(sandbox.store, call.object_id) if call.object_id.startswith("ed_") else None
    if found is None:
        raise ApiError(404, "invalid_request_error", f"Event destination {call.object_id} not found.", code="not_found")
    return found


def _url(params: Params) -> str | None:
    given = params.get("webhook_endpoint")
    if given is None:
        return None
    destinations.check_url(given["url"], "webhook_endpoint[url]")
    return str(given["url"])


def _check_types(types: list[str], payload: Payload) -> None:
    """Raise for a type of event that this kind of destination is never sent."""
    known = STRIPE.thin_events if payload == "thin" else STRIPE.snapshot_events
    for place, kind in enumerate(types):
        if kind not in known and kind != EVERYTHING:
            raise invalid(f"Invalid event type for {payload} events: {kind}", param=f"enabled_events[{place}]")
    if not types:
        raise missing_param("enabled_events")


def _check_done(form: Form, payload: Payload) -> None:
    """Raise for a transport, an origin or a version that the sandbox does not do."""
    kind, version = form.text("type"), form.text("snapshot_api_version")
    if kind != "webhook_endpoint":
        raise not_done(f"`type={kind}`", "type")
    if version is not None and payload == "thin":
        raise invalid("`snapshot_api_version` is not for thin events.", param="snapshot_api_version")
    if version not in (None, API_VERSION):
        raise not_done(f"`snapshot_api_version={version}`", "snapshot_api_version")
    for origin in form.texts("events_from"):
        if origin != _FROM_ITSELF:
            raise not_done(f"`events_from={origin}`", "events_from")


def _included(form: Form) -> frozenset[str]:
    """What is to be shown beside the rest; the types say which words each route takes."""
    return frozenset(form.texts("include"))


def _shown(destination: Destination, included: frozenset[str]) -> Json:
    given = destination.view
    disabled = {"disabled": {"reason": "user"}}
    return {
        "id": destination.id,
        "object": "v2.core.event_destination",
        "created": iso(destination.created),
        "description": given["description"],
        "enabled_events": destination.types,
        "event_payload": destination.payload,
        "events_from": [_FROM_ITSELF],
        "livemode": False,
        "metadata": given["metadata"],
        "name": given["name"],
        "snapshot_api_version": given["snapshot_api_version"],
        "status": "enabled" if destination.enabled else "disabled",
        "status_details": None if destination.enabled else disabled,
        "type": "webhook_endpoint",
        "updated": given["updated"],
        "webhook_endpoint": {
            "signing_secret": destination.secret if SECRET in included else None,
            "url": destination.url if URL in included else None,
        },
    }
