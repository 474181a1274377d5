"""Settings of traces."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cachesvc.settings.validation import setting_error


class TracesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[traces]``: which ways of records through the cache are told, and to whom."""

    # Where a collector takes OTLP: http or https, host and port. Empty: no traces.
    endpoint: str = ""
    # How it takes them: over HTTP, by default at port 4318, or gRPC, at 4317.
    protocol: Literal["http", "grpc"] = "http"
    # Of all appends, the share that is traced. 0 to 1.
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.01
    # Whether appends are traced besides that have a record whose producer's span was recorded, as
    # its header "traceparent" says.
    follow_producers: bool = True
    # Traces that a reader begins in a second at most. 0.01 to 1,000.
    traces_per_s_max: Annotated[float, Meta(ge=0.01, le=1_000)] = 10.0
    # Subscriptions whose delivery and commit a trace has at most. 0 to 1,000.
    subscriptions_max: Annotated[int, Meta(ge=0, le=1_000)] = 20
    # Seconds that the collector may take to answer. 0.1 to 60.
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 10.0
    # What the collector knows this service as.
    service_name: Annotated[str, Meta(min_length=1, max_length=255)] = "cachesvc"


def check_traces(traces: TracesConfig, source: str) -> None:
    """What the types do not say.

    Raises:
        InvalidConfig: The endpoint is no URL, or one with a path where there is none.
    """
    if not traces.endpoint:
        return
    field = "traces.endpoint"
    try:
        parts = urlsplit(traces.endpoint)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
        parts = urlsplit("")
    plain = (
        traces.endpoint.isascii() and traces.endpoint.isprintable() and " " not in traces.endpoint
    )
    if not fits or not plain or parts.query or parts.fragment:
        raise setting_error(source, field, "is no URL", "write it as http://HOST:PORT")
    if "@" in parts.netloc:
        advice = "give what the collector wants to see in OTEL_EXPORTER_OTLP_HEADERS"
        raise setting_error(source, field, "has a user or password", advice)
    if traces.protocol == "grpc" and parts.path.strip("/"):
        advice = 'leave the path out, or say traces.protocol = "http"'
        raise setting_error(source, field, "has a path, which gRPC has not", advice)
