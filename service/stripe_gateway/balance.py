"""Stripe's balance as it is now, reduced to the fields we read. Pure data: no network, no database."""

import msgspec


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the balance in one currency."""

    amount: int
    currency: str


class Balance(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="balance"):
    """Stripe's balance as it is now. Stripe counts what it shows in transit as pending."""

    available: list[Funds]
    pending: list[Funds]

    @property
    def total(self) -> dict[str, int]:
        """Minor units per currency, pending and available."""
        total: dict[str, int] = {}
        for part in (*self.available, *self.pending):
            total[part.currency] = total.get(part.currency, 0) + part.amount
        return total
