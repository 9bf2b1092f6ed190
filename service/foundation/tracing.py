"""Traces: whether they are on in this process. They cost one `if` where they are not.

`spans` is None until `start` finds that OpenTelemetry's API has a provider. EO_TRACES names a function that sets one;
a process that was started by an instrumentation of OpenTelemetry has one already. Nothing else here is imported then.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from service.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from service.foundation.spans import Spans

spans: "Spans | None" = None
_SETS_A_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"  # read by OpenTelemetry's API


def start(set_up: str) -> None:
    """Turn traces on where there is a provider; `set_up` is `module:function` or empty. Raises Misconfigured."""
    global spans  # noqa: PLW0603  one process has one provider
    if set_up:
        _call(set_up)
    if set_up or "opentelemetry.trace" in sys.modules or os.environ.get(_SETS_A_PROVIDER):
        from service.foundation.spans import provided  # noqa: PLC0415  only who wants traces pays for the import

        spans = provided()
        if set_up and spans is None:
            raise Misconfigured(f"EO_TRACES={set_up} set no tracer provider. Let it call trace.set_tracer_provider().")


def _call(set_up: str) -> None:
    module, _, function = set_up.partition(":")
    try:
        getattr(import_module(module), function)()
    except Exception as error:
        raise Misconfigured(
            f"EO_TRACES={set_up} cannot be called ({type(error).__name__}: {error}). Name a function as "
            "module:function, and install effectively-once[otel] with the SDK and an exporter."
        ) from error
