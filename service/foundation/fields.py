"""Types of fields of the API that also carry what the OpenAPI document says of them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset")]
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
MinorUnits = Annotated[int, Meta(description="integer, in the currency's minor unit")]
