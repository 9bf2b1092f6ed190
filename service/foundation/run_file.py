"""The file in which `eo up` writes what its servers are asked at, for every other command of the same folder."""

import json
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
