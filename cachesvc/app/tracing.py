"""The traces of a service, if it has somebody to tell them to."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from cachesvc.settings.traces import TracesConfig
from cachesvc.settings.validation import setting_error

if TYPE_CHECKING:
    from cachesvc.tracing.traces import Traces

_CLOSE_S_MAX = 2.0


@contextmanager
def traced(config: TracesConfig, version: str) -> Iterator["Traces | None"]:
    """Tells traces within; None where there are to be none, which costs not even the imports.

    Args:
        config: Where to, and which.
        version: Of this software.

    Raises:
        InvalidConfig: There are to be some, and what it takes is not installed.
    """
    if not config.endpoint:
        yield None
        return
    try:
        module = import_module("cachesvc.tracing.traces")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        advice = "pip install 'cachesvc[traces]', or leave the endpoint out"
        problem = f"needs OpenTelemetry, and {error.name} is not installed"
        raise setting_error("settings", "traces.endpoint", problem, advice) from error
    traces, export = module.open_traces(config, version)
    try:
        yield traces
    finally:
        export.close(_CLOSE_S_MAX)
