"""How a notice is signed: the Standard Webhooks scheme, by its own library. Secrets are derived, none is stored."""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

_PREFIX = "whsec_"


def secret_of(installation_key: bytes, endpoint_id: UUID, nth: int) -> str:
    """The secret of an endpoint after its `nth` roll, as its producer is shown it."""
    made = hmac.digest(installation_key, b"webhook endpoint" + endpoint_id.bytes + nth.to_bytes(4, "big"), "sha256")
    return _PREFIX + b64encode(made).decode()


def signed(webhook_id: str, at: datetime, body: str, secrets: Iterable[str]) -> dict[str, str]:
    """The three headers: signed with each of these secrets, the newest first. `at` is in UTC."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, at, body) for secret in secrets),
    }
