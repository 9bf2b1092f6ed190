"""The file in which `eo up` writes what its servers are asked at, for every other command of the same folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.foundation.errors import Misconfigured

RUN_FILE = "run.json"


def running_parts(data_dir: Path) -> dict[str, str]:
    """The variables that `eo up` wrote for its servers; none where it does not run. Raises Misconfigured."""
    try:
        found: Any = json.loads((data_dir / RUN_FILE).read_text())
        return {str(k): str(v) for k, v in found["environment"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Misconfigured(f"{data_dir / RUN_FILE} cannot be read ({error}). Start `eo up` again.") from error


def refuse_live_key(key: str, data_dir: Path, named: Mapping[str, str], running: Mapping[str, str]) -> None:
    """Raises Misconfigured where a live `key` would be used with the servers of an `eo up` that runs with another key.

    `named` is what the environment says, and `running` what `eo up` wrote.
    """
    if running.get("STRIPE_API_KEY", "") == key:
        return
    missing = [variable for variable in ("DATABASE_URL", "REDIS_URL") if variable in running and variable not in named]
    if missing:
        raise Misconfigured(
            f"STRIPE_API_KEY is a live key, and {' and '.join(missing)} would be those of the `eo up` that runs on "
            f"{data_dir}. A live key needs DATABASE_URL and REDIS_URL of its own."
        )
