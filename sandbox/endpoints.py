"""Webhook endpoints: `/v1/webhook_endpoints`. Events go to them as snapshots, whole objects as they were then."""

from sandbox import destinations, expand
from sandbox.destinations import Destination
from sandbox.errors import missing_param, no_such, not_done
from sandbox.ids import new_id
from sandbox.objects import Json, encode
from sandbox.params import Form
from sandbox.state import API_VERSION, Call, Execution, Sandbox

KIND = "webhook endpoint"


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/webhook_endpoints`: the only answer that shows the secret."""
    form = Form(call.params)
    url, types = form.required("url"), form.texts("enabled_events")
    if not types:
        raise missing_param("enabled_events")
    destinations.check_url(url, "url")
    version = form.text("api_version")
    if version not in (None, API_VERSION):
        raise not_done(f"`api_version={version}`", "api_version")
    metadata = form.metadata()
    expand.wanted(form, "webhook_endpoint")
    destinations.check_room(sandbox)

    def execute() -> bytes:
        made = Destination(
            id=new_id("we_1", 23),
            created=sandbox.clock.now(),
            url=url,
            payload="snapshot",
            types=types,
            view={"api_version": version, "description": form.text("description") or None, "metadata": metadata},
        )
        _save(sandbox, made)
        return encode(made.view | {"secret": made.secret})

    return execute


def retrieve(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/webhook_endpoints/:id`."""
    expand.wanted(Form(call.params), "webhook_endpoint")
    found = _find(sandbox, call)
    return lambda: encode(found.view)


def update(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/webhook_endpoints/:id`: address, types of events, on or off."""
    form = Form(call.params)
    url = form.text("url")
    if url is not None:
        destinations.check_url(url, "url")
    form.metadata()
    expand.wanted(form, "webhook_endpoint")
    _find(sandbox, call)

    def execute() -> bytes:
        changed = _find(sandbox, call)
        changed.url = url or changed.url
        changed.types = form.texts("enabled_events") or changed.types
        if "disabled" in form:
            changed.enabled = not form.flag("disabled")
        if "description" in form:
            changed.view["description"] = form.text("description") or None
        if "metadata" in form:
            changed.view["metadata"] = form.merged_metadata(changed.view["metadata"])
        return _save(sandbox, changed)

    return execute


def delete(sandbox: Sandbox, call: Call) -> Execution:
    """`DELETE /v1/webhook_endpoints/:id`."""
    _find(sandbox, call)

    def execute() -> bytes:
        destinations.delete(sandbox.store, _find(sandbox, call).id)
        return encode({"id": call.object_id, "object": "webhook_endpoint", "deleted": True})

    return execute


def _find(sandbox: Sandbox, call: Call) -> Destination:
    found = destinations.find(sandbox.store, call.object_id) if call.object_id.startswith("we_") else None
    if found is None:
        raise no_such(KIND, call.object_id, "id")
    return found


def _save(sandbox: Sandbox, destination: Destination) -> bytes:
    """Write it with the view that the API shows, and return that."""
    given = destination.view
    shown: Json = {
        "id": destination.id,
        "object": "webhook_endpoint",
        "api_version": given["api_version"],
        "application": None,
        "created": destination.created,
        "description": given["description"],
        "enabled_events": destination.types,
        "livemode": False,
        "metadata": given["metadata"],
        "status": "enabled" if destination.enabled else "disabled",
        "url": destination.url,
    }
    destination.view = shown
    destinations.save(sandbox.store, destination)
    return encode(shown)
