"""Types of the API's fields that say more than Python's own do: they also carry their form in the OpenAPI document."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset")]
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
MinorUnits = Annotated[int, Meta(description="integer, in the currency's minor unit")]
