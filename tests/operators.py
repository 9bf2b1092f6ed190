"""Who acts in tests where it does not matter who does."""

from service.audit import Who

OPERATOR = Who("ops", "cli")
