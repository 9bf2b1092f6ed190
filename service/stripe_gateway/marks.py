"""Our names at Stripe: the metadata by which a PaymentIntent is known as one attempt of one order (R19, R31), and a
refund as one of ours. Pure.

`eo_account`, `eo_order`, `eo_attempt` tell which attempt it is. `eo_key` and `eo_fingerprint` can bring back an order
that the database forgot, and `eo_instance` tells the installations at one Stripe account apart. A refund bears
`eo_refund` in place of the attempt, and its own key.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

PREFIX = "eo_"  # no producer's name begins so
ACCOUNT, ORDER, ATTEMPT = "eo_account", "eo_order", "eo_attempt"
KEY, FINGERPRINT, INSTANCE = "eo_key", "eo_fingerprint", "eo_instance"
SIX = (ACCOUNT, ORDER, ATTEMPT, KEY, FINGERPRINT, INSTANCE)
THREE = SIX[:3]  # all that versions before 0.2 wrote
REFUND = "eo_refund"

STRIPE_NAMES_MAX = 50  # metadata names Stripe allows on one object
_ATTEMPT_MAX = 32_767


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the metadata of a PaymentIntent says. The last three are None on what versions before 0.2 have made."""

    account_id: UUID
    order_id: UUID
    attempt: int
    key: str | None = None
    fingerprint: bytes | None = None
    instance: UUID | None = None

    def metadata(self, producers: Mapping[str, str]) -> dict[str, str]:
        """`producers`' own names and ours; only the first three of ours where Stripe has no room for all."""
        attempt = {ACCOUNT: str(self.account_id), ORDER: str(self.order_id), ATTEMPT: str(self.attempt)}
        if self.key is None or self.fingerprint is None or self.instance is None:
            return {**producers, **attempt}
        all_six = {
            **attempt,
            KEY: self.key,
            FINGERPRINT: urlsafe_b64encode(self.fingerprint).decode(),
            INSTANCE: str(self.instance),
        }
        return {**producers, **(all_six if len(producers) + len(all_six) <= STRIPE_NAMES_MAX else attempt)}

    def are_named_by(self, metadata: Mapping[str, str]) -> bool:
        """Whether `metadata` names this very attempt: nearly always so, and four times cheaper than reading all."""
        return (
            metadata.get(ORDER) == str(self.order_id)
            and metadata.get(ACCOUNT) == str(self.account_id)
            and metadata.get(ATTEMPT) == str(self.attempt)
        )

    def match(self, other: "Marks") -> bool:
        """Whether both speak of one attempt: of the same order, or of its repeat under the same key (R19, R32)."""
        same_order = self.order_id == other.order_id
        same_request = self.key is not None and (self.key, self.fingerprint) == (other.key, other.fingerprint)
        same_attempt = (self.account_id, self.attempt) == (other.account_id, other.attempt)
        return same_attempt and (same_order or same_request)


def read_marks(metadata: Mapping[str, str]) -> Marks | None:
    """The marks in a PaymentIntent's metadata; None where it bears none of ours, or damaged ones."""
    try:
        attempt = int(metadata[ATTEMPT])
        fingerprint, instance = metadata.get(FINGERPRINT), metadata.get(INSTANCE)
        marks = Marks(
            account_id=UUID(metadata[ACCOUNT]),
            order_id=UUID(metadata[ORDER]),
            attempt=attempt,
            key=metadata.get(KEY),
            fingerprint=urlsafe_b64decode(fingerprint) if fingerprint else None,
            instance=UUID(instance) if instance else None,
        )
    except (KeyError, ValueError):
        return None
    return marks if 1 <= attempt <= _ATTEMPT_MAX else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundMarks:
    """What the metadata of a refund says. `refund_id` is ours. The last two are None where Stripe had no room."""

    account_id: UUID
    order_id: UUID
    refund_id: UUID
    key: str | None = None
    instance: UUID | None = None

    def metadata(self, producers: Mapping[str, str]) -> dict[str, str]:
        """`producers`' own names and ours; only the first three of ours where Stripe has no room for all."""
        refund = {ACCOUNT: str(self.account_id), ORDER: str(self.order_id), REFUND: str(self.refund_id)}
        if self.key is None or self.instance is None:
            return {**producers, **refund}
        all_five = {**refund, KEY: self.key, INSTANCE: str(self.instance)}
        return {**producers, **(all_five if len(producers) + len(all_five) <= STRIPE_NAMES_MAX else refund)}


def read_refund_marks(metadata: Mapping[str, str] | None) -> RefundMarks | None:
    """The marks in a refund's metadata; None where it bears none of ours, or damaged ones."""
    try:
        names = metadata or {}
        instance = names.get(INSTANCE)
        return RefundMarks(
            account_id=UUID(names[ACCOUNT]),
            order_id=UUID(names[ORDER]),
            refund_id=UUID(names[REFUND]),
            key=names.get(KEY),
            instance=UUID(instance) if instance else None,
        )
    except (KeyError, ValueError):
        return None


def producers_own(metadata: Mapping[str, str]) -> dict[str, str]:
    """The names that the producer gave: no producer may use ours."""
    return {name: value for name, value in metadata.items() if not name.startswith(PREFIX)}
