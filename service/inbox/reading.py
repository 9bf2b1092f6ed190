"""An event as Stripe sends it, reduced to what is kept of it (R30). Pure.

A snapshot carries an object as it was then, a thin event only its id. Both are read for the id, and for what helps to
find the object in Stripe's lists: an event is a hint, and what it says of an object's state is not applied (R38). What
is not needed is thrown away here: names, addresses, amounts, secrets.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from service.stripe_gateway import marks
from service.stripe_gateway.events import Related, Request, Snapshot, Thin
from service.stripe_gateway.objects import MOMENT_MAX

_ID, _PLAIN_WORD = re.compile(r"[A-Za-z0-9_]{1,255}"), re.compile(r"[a-z_]{1,100}")
_PATH = re.compile(r"[A-Za-z0-9_/]{1,255}")  # Stripe's `context` may name an organization and an account of it


class NoEvent(Exception):
    """A body that is no event."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of an event beside its columns.

    object, object_created, status, payment_intent, charge: of the snapshot. order: our id in its metadata. account: of
    another account than the endpoint's. request: the id of the request that made it. snapshot: the same fact's other
    event.
    """

    object: str | None = None
    object_created: int | None = None
    status: str | None = None
    payment_intent: str | None = None
    charge: str | None = None
    order: str | None = None
    livemode: bool = False
    account: str | None = None
    request: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An event: its columns. `object_id`: the object that it makes dirty, None where it names none."""

    id: str
    type: str
    object_id: str | None
    thin: bool
    kept: Kept
    created: datetime


_DECODER = msgspec.json.Decoder(Snapshot | Thin)


def read(body: bytes) -> Told:
    """The event of a body whose signature was checked. Raises NoEvent."""
    try:
        found = _DECODER.decode(body)
    except (ValueError, RecursionError):  # of which msgspec's errors are
        raise NoEvent from None
    return of_snapshot(found) if isinstance(found, Snapshot) else _of_thin(found)


def of_snapshot(event: Snapshot) -> Told:
    """What is kept of a snapshot."""
    shown = event.data.object
    created = shown.get("created")
    request = event.request.id if isinstance(event.request, Request) else event.request
    kept = Kept(
        object=_text(shown.get("object"), _PLAIN_WORD),
        object_created=created if type(created) is int and 0 <= created <= MOMENT_MAX else None,
        status=_text(shown.get("status"), _PLAIN_WORD),
        payment_intent=_id_of(shown.get("payment_intent")),
        charge=_id_of(shown.get("charge")),
        order=_order(shown.get("metadata")),
        livemode=event.livemode,
        account=_text(event.account, _ID) or _text(event.context, _PATH),
        request=_text(request, _ID),
    )
    moment = datetime.fromtimestamp(event.created, UTC)
    return Told(event.id, event.type, _text(shown.get("id"), _ID), thin=False, kept=kept, created=moment)


def _of_thin(event: Thin) -> Told:
    related = event.related_object or Related("")
    request = event.reason.request.id if event.reason and event.reason.request else None
    kept = Kept(
        object=_text(related.type.removeprefix("v1."), _PLAIN_WORD),
        livemode=event.livemode,
        account=_text(event.context, _PATH),
        request=_text(request, _ID),
        snapshot=_text(event.snapshot_event, _ID),
    )
    moment = event.created if event.created.tzinfo else event.created.replace(tzinfo=UTC)
    if not 0 <= moment.timestamp() <= MOMENT_MAX:
        raise NoEvent
    return Told(event.id, event.type, related.id, thin=True, kept=kept, created=moment)


def _text(value: object, form: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


def _id_of(value: object) -> str | None:
    """The id of an object that is named by it, or expanded."""
    return _text(value.get("id") if isinstance(value, dict) else value, _ID)


def _order(metadata: object) -> str | None:
    """The order that the metadata names, in the one spelling of a UUID."""
    named = metadata.get(marks.ORDER) if isinstance(metadata, dict) else None
    try:
        return str(UUID(named)) if isinstance(named, str) else None
    except ValueError:
        return None
